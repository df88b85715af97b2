//! Bindings generated from `wit/`, once for all plugins. One part world per exported interface, so that a plugin
//! exports exactly the roles it names; `wit-component` unites the parts and drops imports that nothing calls.
//! Plugins do not use this module; the export macros and the fault guests do.

/// What the host offers: imports only.
pub mod host {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "pointsman:plugin/imports",
        additional_derives: [PartialEq],
        generate_unused_types: true,
        generate_all,
    });
}

/// The shared interfaces live in `host`; this keeps each part from generating its own copy of them.
macro_rules! part {
    ($(#[$doc:meta])* $name:ident, $world:literal, $inline:literal, { $($with:tt)* }) => {
        $(#[$doc])*
        pub mod $name {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $inline,
                world: $world,
                additional_derives: [PartialEq],
                generate_unused_types: true,
                pub_export_macro: true,
                with: {
                    "pointsman:plugin/types@0.2.0": crate::generated::host::pointsman::plugin::types,
                    $($with)*
                },
            });
        }
    };
}

part!(
    /// Exports `meta`.
    meta, "pointsman:sdk/meta-part",
    "package pointsman:sdk; world meta-part { export pointsman:plugin/meta@0.2.0; }", {}
);
part!(
    /// Exports `classifier`.
    classifier, "pointsman:sdk/classifier-part",
    "package pointsman:sdk; world classifier-part { export pointsman:plugin/classifier@0.2.0; }",
    { "pointsman:plugin/request@0.2.0": crate::generated::host::pointsman::plugin::request }
);
part!(
    /// Exports `request-guard`.
    request_guard, "pointsman:sdk/request-guard-part",
    "package pointsman:sdk; world request-guard-part { export pointsman:plugin/request-guard@0.2.0; }",
    { "pointsman:plugin/request@0.2.0": crate::generated::host::pointsman::plugin::request }
);
part!(
    /// Exports `splitter`.
    splitter, "pointsman:sdk/splitter-part",
    "package pointsman:sdk; world splitter-part { export pointsman:plugin/splitter@0.2.0; }",
    { "pointsman:plugin/request@0.2.0": crate::generated::host::pointsman::plugin::request }
);
part!(
    /// Exports `router`.
    router, "pointsman:sdk/router-part",
    "package pointsman:sdk; world router-part { export pointsman:plugin/router@0.2.0; }",
    {
        "pointsman:plugin/request@0.2.0": crate::generated::host::pointsman::plugin::request,
        "pointsman:plugin/targets@0.2.0": crate::generated::host::pointsman::plugin::targets,
    }
);
part!(
    /// Exports `response-guard`.
    response_guard, "pointsman:sdk/response-guard-part",
    "package pointsman:sdk; world response-guard-part { export pointsman:plugin/response-guard@0.2.0; }",
    { "pointsman:plugin/request@0.2.0": crate::generated::host::pointsman::plugin::request }
);
part!(
    /// Exports `accountant`.
    accountant, "pointsman:sdk/accountant-part",
    "package pointsman:sdk; world accountant-part { export pointsman:plugin/accountant@0.2.0; }",
    { "pointsman:plugin/request@0.2.0": crate::generated::host::pointsman::plugin::request }
);
