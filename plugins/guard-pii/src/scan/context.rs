//! Words near a number that say what it is.

/// What the nearest telling word before a number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// `phone`, `fax`, `mobile`: the number is one, whatever its form.
    Phone,
    /// `call`, `reach`, `text`: it is one if it looks like one.
    Contact,
    /// `order`, `invoice`, `version`: it is something else.
    Other,
    /// Nothing.
    Silent,
}

/// Words by their first letter. One that ends in `$` must not go on in letters; the others are beginnings.
const fn words(first: u8) -> &'static [(&'static str, Context)] {
    use Context::{Contact, Other, Phone};
    match first {
        b'a' => &[
            ("answering", Contact),
            ("answer$", Contact),
            ("anruf", Contact),
            ("appel", Contact),
            ("account", Other),
            ("acct", Other),
            ("address", Other),
            ("apt$", Other),
            ("amount", Other),
        ],
        b'b' => &[
            ("batch", Other),
            ("build", Other),
            ("born", Other),
            ("birth", Other),
            ("box$", Other),
            ("balance", Other),
        ],
        b'c' => &[
            ("celular", Phone),
            ("cell$", Phone),
            ("cellphone", Phone),
            ("cellular", Phone),
            ("call", Contact),
            ("contact", Contact),
            ("case$", Other),
            ("card", Other),
            ("commit", Other),
            ("customer", Other),
            ("cost", Other),
        ],
        b'd' => &[
            ("dial", Contact),
            ("desk$", Contact),
            ("date", Other),
            ("dob$", Other),
            ("driver", Other),
        ],
        b'e' => &[("extension", Contact), ("eur$", Other)],
        b'f' => &[("fax", Phone)],
        b'h' => &[
            ("hotline", Phone),
            ("helpline", Phone),
            ("handy$", Phone),
            ("hash", Other),
        ],
        b'i' => &[
            ("invoice", Other),
            ("isbn", Other),
            ("issn", Other),
            ("iban", Other),
            ("id$", Other),
            ("ids$", Other),
            ("ip$", Other),
        ],
        b'l' => &[("landline", Phone), ("llama", Contact), ("licen", Other)],
        b'm' => &[
            ("mob$", Phone),
            ("mobile", Phone),
            ("mobil$", Phone),
            ("movil", Phone),
            ("message", Contact),
            ("model", Other),
            ("member", Other),
        ],
        b'o' => &[("office$", Contact), ("order", Other)],
        b'p' => &[
            ("phone", Phone),
            ("ph$", Phone),
            ("pick up", Contact),
            ("pager", Contact),
            ("postal", Other),
            ("postcode", Other),
            ("populat", Other),
            ("part$", Other),
            ("page", Other),
            ("port$", Other),
            ("passport", Other),
            ("policy", Other),
            ("psc$", Other),
            ("price", Other),
        ],
        b'r' => &[
            ("ring$", Contact),
            ("reach", Contact),
            ("registered", Contact),
            ("ref$", Other),
            ("reference", Other),
            ("run$", Other),
            ("room", Other),
        ],
        b's' => &[
            ("sms$", Phone),
            ("smartphone", Phone),
            ("serial", Other),
            ("score", Other),
            ("seed", Other),
            ("step", Other),
            ("section", Other),
            ("sku", Other),
            ("suite", Other),
            ("ssn", Other),
            ("sha$", Other),
            ("street", Other),
            ("salary", Other),
        ],
        b't' => &[
            ("telephon", Phone),
            ("telefon", Phone),
            ("telef", Phone),
            ("tel$", Phone),
            ("tél", Phone),
            ("tlf$", Phone),
            ("text$", Contact),
            ("tracking", Other),
            ("track$", Other),
            ("ticket", Other),
            ("total", Other),
        ],
        b'u' => &[("uuid", Other), ("unit$", Other), ("usd$", Other)],
        b'v' => &[("version", Other)],
        b'w' => &[("whatsapp", Phone)],
        b'y' => &[("year", Other)],
        b'z' => &[("zip$", Other)],
        _ => &[],
    }
}

/// What stands after a number: `416 60 039 office`.
const AFTER: &[&str] = &[
    "office$",
    "fax$",
    "mobile$",
    "cell$",
    "phone$",
    "tel$",
    "home$",
    "work$",
    "desk$",
    "direct$",
    "main$",
    "landline$",
];

/// Digits that may stand between a word and the number that it is about: two phones.
const DIGITS_BETWEEN_MAX: usize = 24;

/// What the nearest telling word in `back` says. What stands on the line above says nothing of this line's number
/// (`Suite 12`), but for a word that asks for one (`Phone:`).
pub(super) fn before(back: &[u8]) -> Context {
    let mut line_above = false;
    let mut digits = 0;
    for at in (0..back.len()).rev() {
        match back[at] {
            b'\n' => line_above = true,
            b'0'..=b'9' => digits += 1,
            _ => {}
        }
        // Behind two numbers no word is about the third.
        if digits > DIGITS_BETWEEN_MAX {
            break;
        }
        if !begins_word(back, at) {
            continue;
        }
        let rest = &back[at..];
        let said = words(back[at].to_ascii_lowercase())
            .iter()
            .find(|(word, _)| begins(rest, word));
        match said {
            Some((_, Context::Other)) if line_above => return Context::Silent,
            Some(&(_, context)) => return context,
            None => {}
        }
    }
    Context::Silent
}

/// Most bytes that `after` needs: two separators, a word, a letter more.
pub(super) const AFTER_BYTES: usize = 12;

/// Whether a word after the number says that it is a phone; none where `ahead` is too short to tell.
pub(super) fn after(ahead: &[u8], complete: bool) -> Option<bool> {
    let skipped = ahead
        .iter()
        .take(2)
        .take_while(|byte| matches!(byte, b' ' | b'-' | b'(' | b','))
        .count();
    let rest = &ahead[skipped..];
    if skipped > 0 && AFTER.iter().any(|word| begins(rest, word)) {
        // `cell` may still become `cellar`.
        let whole = AFTER
            .iter()
            .any(|word| rest.len() > word.len() - 1 && begins(rest, word));
        return (whole || complete).then_some(true);
    }
    let may_become = |word: &&&str| {
        let letters = word.trim_end_matches('$').as_bytes();
        rest.len() < letters.len() && letters[..rest.len()].eq_ignore_ascii_case(rest)
    };
    let undecided = !complete
        && ahead.len() < AFTER_BYTES
        && (ahead.is_empty() || skipped > 0)
        && AFTER.iter().any(|word| may_become(&word));
    (!undecided).then_some(false)
}

/// Whether `text` holds one of `words`, not inside a longer word.
pub(super) fn mentions(text: &[u8], words: &[&str]) -> bool {
    (0..text.len())
        .filter(|&at| begins_word(text, at))
        .any(|at| words.iter().any(|word| begins(&text[at..], word)))
}

fn begins_word(text: &[u8], at: usize) -> bool {
    text[at].is_ascii_alphabetic() && (at == 0 || !text[at - 1].is_ascii_alphabetic())
}

/// Whether `text` begins with `word`, ignoring case; a word that ends in `$` must not go on in letters.
fn begins(text: &[u8], word: &str) -> bool {
    let (letters, whole) = match word.strip_suffix('$') {
        Some(letters) => (letters, true),
        None => (word, false),
    };
    let letters = letters.as_bytes();
    text.len() >= letters.len()
        && text[..letters.len()].eq_ignore_ascii_case(letters)
        && !(whole && text.get(letters.len()).is_some_and(u8::is_ascii_alphabetic))
}
