//! What a result must be to be used, beyond its own shape: edits that fit the request, attributes that mean
//! something, lines for attempts that were made.

use pointsman_domain::plan::Plan;
use pointsman_domain::request::{Checked, Edit, RequestView, TextEdit, Verdict};
use pointsman_domain::usage::{CostLine, Usage};
use pointsman_domain::{Attribute, Value};

use crate::fault::Cause;

/// Text edits name segments that are there, lie on UTF-8 borders, are in order and do not overlap.
pub(crate) fn checked(checked: &Checked, view: &RequestView) -> Result<(), Cause> {
    let Verdict::Edit(edits) = &checked.verdict else {
        return Ok(());
    };
    let mut reached = (0, 0);
    for edit in edits {
        let Edit::Text(edit) = edit else { continue };
        fits(edit, view)?;
        if (edit.segment, edit.start) < reached {
            return Err(Cause::output("text edits overlap or are out of order"));
        }
        reached = (edit.segment, edit.end);
    }
    Ok(())
}

fn fits(edit: &TextEdit, view: &RequestView) -> Result<(), Cause> {
    let Some(segment) = view.segments.get(edit.segment as usize) else {
        return Err(Cause::output(format!(
            "edit of segment {}, which is not there",
            edit.segment
        )));
    };
    let (start, end) = (edit.start as usize, edit.end as usize);
    if start > end || end > segment.text.len() {
        return Err(Cause::output(format!(
            "edit of bytes {start} to {end} of a segment of {} bytes",
            segment.text.len()
        )));
    }
    if !segment.text.is_char_boundary(start) || !segment.text.is_char_boundary(end) {
        return Err(Cause::output(format!(
            "edit of bytes {start} to {end} is not on UTF-8 borders"
        )));
    }
    Ok(())
}

/// Attempts carry attributes that the gateway knows, with values of their types. Targets are checked by the gateway,
/// which knows the candidates.
pub(crate) fn plan(plan: &Plan) -> Result<(), Cause> {
    for attribute in plan.attempts.iter().flat_map(|attempt| &attempt.attributes) {
        let fits = match (attribute.key.as_str(), &attribute.value) {
            (
                "timeout-ms" | "first-token-timeout-ms" | "hedge-after-ms" | "retries",
                Value::Integer(integer),
            ) => *integer >= 0,
            ("model", Value::Text(model)) => !model.is_empty(),
            (
                "timeout-ms" | "first-token-timeout-ms" | "hedge-after-ms" | "retries" | "model",
                _,
            ) => false,
            _ => return Err(Cause::contract(unknown(attribute))),
        };
        if !fits {
            return Err(Cause::contract(format!(
                "attempt attribute `{}` has a bad value",
                attribute.key
            )));
        }
    }
    Ok(())
}

fn unknown(attribute: &Attribute) -> String {
    // A key is the plugin's to choose; only what looks like a name is repeated.
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if attribute.key.len() <= 32 && attribute.key.chars().all(plain) {
        return format!("unknown attempt attribute `{}`", attribute.key);
    }
    "unknown attempt attribute".to_owned()
}

/// Lines are for attempts that the accountant was asked about.
pub(crate) fn cost_lines(lines: &[CostLine], usages: &[Usage]) -> Result<(), Cause> {
    let asked = |line: &&CostLine| usages.iter().any(|usage| usage.attempt == line.attempt);
    match lines.iter().find(|line| !asked(line)) {
        None => Ok(()),
        Some(line) => Err(Cause::contract(format!(
            "cost line for attempt {}, which was not asked about",
            line.attempt
        ))),
    }
}

#[cfg(test)]
mod tests {
    use pointsman_domain::FaultKind;
    use pointsman_domain::plan::{Plan, PlannedAttempt};
    use pointsman_domain::request::{Checked, Edit, RequestView, Segment, TextEdit, Verdict};
    use pointsman_domain::{Attribute, Value};

    fn view(texts: &[&str]) -> RequestView {
        let segment = |text: &&str| Segment {
            message: 0,
            part: 0,
            role: "user".into(),
            kind: "text".into(),
            path: String::new(),
            text: (*text).to_owned(),
        };
        RequestView {
            segments: texts.iter().map(segment).collect(),
            ..RequestView::default()
        }
    }

    #[track_caller]
    fn verdict(edits: &[(u32, u32, u32)]) -> Result<(), FaultKind> {
        let edit = |&(segment, start, end)| {
            Edit::Text(TextEdit {
                segment,
                start,
                end,
                text: "*".to_owned(),
            })
        };
        let checked = Checked {
            verdict: Verdict::Edit(edits.iter().map(edit).collect()),
            labels: Vec::new(),
        };
        super::checked(&checked, &view(&["héllo", "world"])).map_err(|cause| cause.kind)
    }

    #[test]
    fn edits_in_order_on_borders_pass() {
        assert_eq!(
            verdict(&[(0, 0, 1), (0, 1, 3), (0, 3, 3), (0, 3, 3), (1, 0, 5)]),
            Ok(())
        );
    }

    #[test]
    fn edits_that_do_not_fit_are_output_faults() {
        for edits in [
            &[(2, 0, 0)][..],
            &[(0, 0, 7)],
            &[(0, 2, 1)],
            &[(0, 0, 2)],
            &[(0, 2, 3)],
            &[(0, 0, 3), (0, 1, 4)],
            &[(0, 3, 4), (0, 0, 1)],
            &[(1, 0, 1), (0, 0, 1)],
        ] {
            assert_eq!(verdict(edits), Err(FaultKind::Output), "{edits:?}");
        }
    }

    fn plan(key: &str, value: Value) -> Result<(), FaultKind> {
        let attribute = Attribute {
            key: key.to_owned(),
            value,
        };
        let attempt = PlannedAttempt {
            target: "t".to_owned(),
            attributes: vec![attribute],
        };
        let plan = Plan {
            attempts: vec![attempt],
            ..Plan::default()
        };
        super::plan(&plan).map_err(|cause| cause.kind)
    }

    #[test]
    fn attempt_attributes_are_known_and_typed() {
        assert_eq!(plan("timeout-ms", Value::Integer(5)), Ok(()));
        assert_eq!(plan("model", Value::from("m")), Ok(()));
        assert_eq!(plan("timeout", Value::Integer(5)), Err(FaultKind::Contract));
        assert_eq!(
            plan("timeout-ms", Value::Integer(-5)),
            Err(FaultKind::Contract)
        );
        assert_eq!(
            plan("retries", Value::from("two")),
            Err(FaultKind::Contract)
        );
    }
}
