//! The export macros. They come from here, not from bindings in each plugin, so that plugins need no WIT and can
//! `#![forbid(unsafe_code)]`. Natively they only check that the traits are there.

/// Exports a plugin with the roles it plays: `export_plugin!(MyPlugin: classifier, request_guard)`.
///
/// Roles: `classifier`, `request_guard`, `splitter`, `router`, `response_guard`, `accountant`. Name and version are
/// those of the crate.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty: $($role:ident),+ $(,)?) => {
        const _: () = {
            static STATE: $crate::glue::State<$plugin> = $crate::glue::State::new();
            #[doc(hidden)]
            pub struct Component;
            impl $crate::generated::meta::exports::pointsman::plugin::meta::Guest for Component {
                fn describe() -> $crate::generated::meta::exports::pointsman::plugin::meta::Info {
                    $crate::glue::describe::<$plugin>(
                        ::core::env!("CARGO_PKG_NAME"),
                        ::core::env!("CARGO_PKG_VERSION"),
                    )
                }
                fn configure(
                    config: ::std::string::String,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    $crate::glue::configure(&STATE, &config)
                }
            }
            #[cfg(target_arch = "wasm32")]
            $crate::generated::meta::export!(Component with_types_in $crate::generated::meta);
            $($crate::export_role!($role, $plugin, Component, STATE);)+
        };
    };
}

/// One role of `export_plugin!`.
#[doc(hidden)]
#[macro_export]
macro_rules! export_role {
    (classifier, $plugin:ty, $component:ident, $state:ident) => {
        impl $crate::generated::classifier::exports::pointsman::plugin::classifier::Guest
            for $component
        {
            fn classify(
                request: &$crate::glue::ViewHandle,
            ) -> ::core::result::Result<::std::vec::Vec<$crate::Label>, $crate::PluginError> {
                <$plugin as $crate::Classifier>::classify($state.plugin()?, request)
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::generated::classifier::export!(
            $component with_types_in $crate::generated::classifier
        );
    };
    (request_guard, $plugin:ty, $component:ident, $state:ident) => {
        impl $crate::generated::request_guard::exports::pointsman::plugin::request_guard::Guest
            for $component
        {
            fn check(
                request: &$crate::glue::ViewHandle,
            ) -> ::core::result::Result<$crate::Checked, $crate::PluginError> {
                <$plugin as $crate::RequestGuard>::check($state.plugin()?, request)
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::generated::request_guard::export!(
            $component with_types_in $crate::generated::request_guard
        );
    };
    (splitter, $plugin:ty, $component:ident, $state:ident) => {
        impl $crate::generated::splitter::exports::pointsman::plugin::splitter::Guest
            for $component
        {
            fn split(
                request: &$crate::glue::ViewHandle,
                bucket: u32,
            ) -> ::core::result::Result<::std::string::String, $crate::PluginError> {
                <$plugin as $crate::Splitter>::split($state.plugin()?, request, bucket)
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::generated::splitter::export!(
            $component with_types_in $crate::generated::splitter
        );
    };
    (router, $plugin:ty, $component:ident, $state:ident) => {
        impl $crate::generated::router::exports::pointsman::plugin::router::Guest for $component {
            fn route(
                request: &$crate::glue::ViewHandle,
                candidates: &$crate::glue::PoolHandle,
            ) -> ::core::result::Result<$crate::Plan, $crate::PluginError> {
                <$plugin as $crate::Router>::route($state.plugin()?, request, candidates)
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::generated::router::export!($component with_types_in $crate::generated::router);
    };
    (response_guard, $plugin:ty, $component:ident, $state:ident) => {
        impl $crate::generated::response_guard::exports::pointsman::plugin::response_guard::Guest
            for $component
        {
            type Guard = Stream;
            fn covers() -> $crate::Coverage {
                // Before configure it covers nothing, which denies every channel where the guard is required.
                match $state.plugin() {
                    Ok(plugin) => <$plugin as $crate::ResponseGuard>::covers(plugin),
                    Err(_) => $crate::glue::covers_nothing(),
                }
            }
        }
        #[doc(hidden)]
        pub struct Stream(
            $crate::glue::StreamCell<<$plugin as $crate::ResponseGuard>::Stream>,
        );
        impl $crate::generated::response_guard::exports::pointsman::plugin::response_guard::GuestGuard
            for Stream
        {
            fn new(request: &$crate::glue::ViewHandle) -> Self {
                Self($crate::glue::StreamCell::new($state.plugin().ok().map(|plugin| {
                    <$plugin as $crate::ResponseGuard>::start(plugin, request)
                })))
            }
            fn open(
                &self,
                id: u32,
                about: $crate::Channel,
            ) -> ::core::result::Result<(), $crate::PluginError> {
                self.0.run(|stream| $crate::GuardStream::open(stream, id, about))
            }
            fn push(
                &self,
                deltas: ::std::vec::Vec<$crate::Delta>,
            ) -> ::core::result::Result<::std::vec::Vec<$crate::Action>, $crate::PluginError> {
                self.0.run(|stream| $crate::GuardStream::push(stream, deltas))
            }
            fn close(
                &self,
                channel: u32,
            ) -> ::core::result::Result<::std::vec::Vec<$crate::Action>, $crate::PluginError> {
                self.0.run(|stream| $crate::GuardStream::close(stream, channel))
            }
            fn expire(
                &self,
                channels: ::std::vec::Vec<u32>,
            ) -> ::core::result::Result<::std::vec::Vec<$crate::Action>, $crate::PluginError> {
                self.0.run(|stream| $crate::GuardStream::expire(stream, channels))
            }
            fn finish(
                &self,
                outcome: ::std::vec::Vec<$crate::Attribute>,
            ) -> ::core::result::Result<::std::vec::Vec<$crate::Action>, $crate::PluginError> {
                self.0.run(|stream| $crate::GuardStream::finish(stream, outcome))
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::generated::response_guard::export!(
            $component with_types_in $crate::generated::response_guard
        );
    };
    (accountant, $plugin:ty, $component:ident, $state:ident) => {
        impl $crate::generated::accountant::exports::pointsman::plugin::accountant::Guest
            for $component
        {
            fn account(
                request: &$crate::glue::ViewHandle,
                usages: ::std::vec::Vec<$crate::Usage>,
            ) -> ::core::result::Result<::std::vec::Vec<$crate::CostLine>, $crate::PluginError> {
                <$plugin as $crate::Accountant>::account($state.plugin()?, request, &usages)
            }
        }
        #[cfg(target_arch = "wasm32")]
        $crate::generated::accountant::export!(
            $component with_types_in $crate::generated::accountant
        );
    };
}
