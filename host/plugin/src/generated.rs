//! Bindings generated from `wit/`. Nothing of it leaves the crate: conversions to the domain's words are in `wit`.

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package pointsman:host;
        world host {
            include pointsman:plugin/imports@0.2.0;
            export pointsman:plugin/meta@0.2.0;
            export pointsman:plugin/classifier@0.2.0;
            export pointsman:plugin/request-guard@0.2.0;
            export pointsman:plugin/splitter@0.2.0;
            export pointsman:plugin/router@0.2.0;
            export pointsman:plugin/response-guard@0.2.0;
            export pointsman:plugin/accountant@0.2.0;
        }
    ",
    world: "pointsman:host/host",
    imports: { default: trappable },
    exports: { default: async },
    with: {
        "pointsman:plugin/request.view": crate::state::ViewHandle,
        "pointsman:plugin/targets.pool": crate::state::PoolHandle,
    },
});
