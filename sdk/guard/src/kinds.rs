//! What configurations of guards whose kinds are fixed share: an act for each, one template of placeholders.

use crate::Act;

/// Bytes of a template.
const TEMPLATE_BYTES_MAX: usize = 64;

/// Whether anything is looked for.
///
/// # Errors
/// What to set, for the operator.
pub fn some_wanted(acts: &[Act]) -> Result<(), String> {
    if acts.iter().all(|&act| act == Act::Off) {
        return Err("every kind is \"off\": set one to \"mask\", \"deny\" or \"label\"".to_owned());
    }
    Ok(())
}

/// What stands in the place of each kind: `{KIND}` and `{kind}` of the template stand for its name.
///
/// # Errors
/// When the template is too long, for the operator.
pub fn placeholders<const N: usize>(
    template: &str,
    names: [&str; N],
) -> Result<[String; N], String> {
    if template.len() > TEMPLATE_BYTES_MAX {
        return Err(format!(
            "placeholder: {} bytes long, at most {TEMPLATE_BYTES_MAX} are allowed",
            template.len()
        ));
    }
    Ok(names.map(|name| {
        template
            .replace("{KIND}", &name.to_ascii_uppercase())
            .replace("{kind}", name)
    }))
}
