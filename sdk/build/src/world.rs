//! The contract's text, and the world that exports exactly a plugin's roles: a component may export nothing that it
//! does not implement.

use crate::manifest::Manifest;

/// The contract.
pub(crate) const CONTRACT: &str = include_str!("../../../wit/pointsman.wit");
/// The world's name; also the prefix of C's names.
pub(crate) const WORLD: &str = "pointsman";

/// The contract with the plugin's world.
pub(crate) fn text(manifest: &Manifest) -> String {
    let mut text = format!("{CONTRACT}\nworld {WORLD} {{ include imports; export meta;");
    for role in &manifest.roles {
        text.push_str(" export ");
        text.push_str(role);
        text.push(';');
    }
    text.push_str(" }\n");
    text
}
