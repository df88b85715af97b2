//! Values that tell by what stands before them: `api_key = "…"`, `Authorization: Bearer …`, `curl -u name:…`,
//! `https://name:…@host`.

use crate::class::{Class, is_word};
use crate::seen::{Seen, entropy};

/// How far back a name, an operator or a scheme is looked for.
pub(crate) const BACK_BYTES: usize = 80;
/// Bytes between a keyword and its operator: `api key for the build`.
const NAME_BYTES_MAX: usize = 48;
/// A value that is read at least this far and goes on tells.
const TELLING_BYTES: usize = 6;
/// Shortest value of a name, and of a password in quotes.
const VALUE_BYTES_MIN: usize = 10;
const PASSWORD_BYTES_MIN: usize = 8;

/// The type of a file that is the key of an account.
const ACCOUNT: &[u8] = b"service_account";

/// Names of values that are secret.
const KEYWORDS: &[&str] = &[
    "secret",
    "token",
    "passw",
    "pwd",
    "apikey",
    "api_key",
    "api-key",
    "api key",
    "access_key",
    "access-key",
    "accesskey",
    "authoriz",
    "auth_",
    "auth-",
    "authtoken",
    "authkey",
    "credential",
    "creds",
    "private_key",
    "private-key",
    "encryption_key",
    "signing_key",
    "account_key",
    "accountkey",
    "license_key",
];

/// Providers whose keys tell by nothing but the name that they are given to.
const PROVIDERS: &[&str] = &[
    "adafruit",
    "adobe",
    "airtable",
    "algolia",
    "alibaba",
    "asana",
    "atlassian",
    "confluence",
    "beamer",
    "bitbucket",
    "bittrex",
    "cloudflare",
    "codecov",
    "cohere",
    "coinbase",
    "confluent",
    "contentful",
    "datadog",
    "discord",
    "droneci",
    "dropbox",
    "facebook",
    "fastly",
    "finicity",
    "finnhub",
    "flickr",
    "freshbooks",
    "gitter",
    "gocardless",
    "heroku",
    "hubspot",
    "intercom",
    "jfrog",
    "artifactory",
    "kraken",
    "kucoin",
    "launchdarkly",
    "linkedin",
    "mailchimp",
    "mailgun",
    "mapbox",
    "mattermost",
    "messagebird",
    "netlify",
    "newrelic",
    "new_relic",
    "new-relic",
    "nytimes",
    "plaid",
    "privateai",
    "rapidapi",
    "sendbird",
    "sentry",
    "snyk",
    "sonar",
    "squarespace",
    "sumologic",
    "telegram",
    "travis",
    "twitch",
    "twitter",
    "typeform",
    "yandex",
    "zendesk",
];

/// Pieces of names and values that are no secrets.
const NAMES_OF_OTHERS: &[&str] = &[
    "public", "pubkey", "tokeniz", "keyword", "keystore", "_type", "length",
];
const STANDINS: &[&str] = &[
    "xxxx",
    "****",
    "....",
    "your",
    "changeme",
    "placeholder",
    "redacted",
    "password",
    "username",
    "dummy",
    "12345678",
];

/// Schemes of `Authorization`.
const SCHEMES: &[&str] = &["bearer", "basic", "api-token", "token", "apikey"];

/// What stands at `at`, where something begins that may be a value. `kind` of the find: login or assigned.
pub(crate) fn see(bytes: &[u8], at: usize, complete: bool) -> (Seen, Place) {
    let back = &bytes[at.saturating_sub(BACK_BYTES)..at];
    let Some(place) = Place::behind(back) else {
        return (Seen::Nothing, Place::Assigned);
    };
    let seen = match place {
        Place::Url => url(bytes, at, complete),
        Place::User => user(bytes, at, complete),
        Place::Scheme | Place::Assigned if !may_be_value(bytes, at, complete) => Seen::Nothing,
        Place::Scheme => value(bytes, at, complete, Name::Scheme),
        Place::Assigned => match name(back) {
            Some(name) => value(bytes, at, complete, name),
            None => Seen::Nothing,
        },
    };
    (seen, place)
}

/// Whether a value may stand at `at`, whatever its name: most of what stands behind a comma or a colon is a word.
fn may_be_value(bytes: &[u8], at: usize, complete: bool) -> bool {
    let rest = &bytes[at..];
    let run = Class::PASSWORD.run(rest, usize::MAX);
    let goes_on = run == rest.len() && !complete;
    let is_random = || run >= PASSWORD_BYTES_MIN && rest[..run].iter().any(u8::is_ascii_digit);
    goes_on || is_random() || rest.starts_with(ACCOUNT)
}

/// What a value stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Url,
    User,
    Scheme,
    Assigned,
}

impl Place {
    fn behind(back: &[u8]) -> Option<Self> {
        match back.last()? {
            b'/' => back.ends_with(b"://").then_some(Self::Url),
            b' ' | b'\t' | b'"' | b'\'' | b'`' | b'=' | b':' | b'>' | b'\\' => {
                let before = trimmed(back, b"\"'` \t");
                // The last byte tells what it may be at most; behind a word it is mostly nothing.
                match before.last()?.to_ascii_lowercase() {
                    b'u' | b'r' | b'=' if is_user_option(before, back.len() - before.len()) => {
                        Some(Self::User)
                    }
                    b'r' | b'c' | b'n' | b'y' if ends_with_scheme(before) => Some(Self::Scheme),
                    b'=' | b':' | b'>' | b'|' | b'?' | b',' | b'\\' => Some(Self::Assigned),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

fn trimmed<'a>(mut text: &'a [u8], of: &[u8]) -> &'a [u8] {
    while let [rest @ .., last] = text
        && of.contains(last)
    {
        text = rest;
    }
    text
}

fn is_user_option(before: &[u8], gap: usize) -> bool {
    let (before, gap) = match before {
        [rest @ .., b'='] => (rest, gap + 1),
        _ => (before, gap),
    };
    let option = [&b"-u"[..], b"--user"]
        .into_iter()
        .find(|option| before.ends_with(option));
    let Some(option) = option else {
        return false;
    };
    let ahead = before[..before.len() - option.len()].last();
    gap > 0 && ahead.is_none_or(u8::is_ascii_whitespace)
}

fn ends_with_scheme(before: &[u8]) -> bool {
    let ends = |word: &str| {
        before.len() >= word.len()
            && before[before.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
    };
    let Some(scheme) = SCHEMES.iter().find(|scheme| ends(scheme)) else {
        return false;
    };
    let header = trimmed(&before[..before.len() - scheme.len()], b" \t\"'`:=");
    let header_end = header.len();
    header_end >= 13 && header[header_end - 13..].eq_ignore_ascii_case(b"authorization")
}

/// How sure a name makes of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Scheme,
    Password,
    Secret,
    Provider,
    /// `key` alone.
    Weak,
    /// `type`, which says that a file is the key of an account.
    Type,
}

/// The name that is given the value behind `back`.
fn name(back: &[u8]) -> Option<Name> {
    let before = trimmed(back, b"\"'` \t=\\");
    let opened = back.len() - before.len();
    let operator = trimmed(before, b"=:>|?,");
    let is_operator = operator.len() < before.len() || back[before.len()..].contains(&b'=');
    if !is_operator || opened > 6 || before.len() - operator.len() > 3 {
        return None;
    }
    let named = trimmed(operator, b"\"'` \t\\]");
    let in_name = |byte: &&u8| is_word(**byte) || matches!(**byte, b' ' | b'\t' | b'.' | b'-');
    let bytes = named
        .iter()
        .rev()
        .take(NAME_BYTES_MAX)
        .take_while(in_name)
        .count();
    let name: String = named[named.len() - bytes..]
        .iter()
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    classified(&name)
}

fn classified(name: &str) -> Option<Name> {
    let last_word = name.rsplit([' ', '\t']).next().unwrap_or(name);
    let is_id = last_word.ends_with("id") || last_word.ends_with("ids");
    if is_id || NAMES_OF_OTHERS.iter().any(|other| name.contains(other)) {
        return None;
    }
    // A keyword further away says nothing of the value.
    let near = |word: &str| {
        name.rfind(word)
            .is_some_and(|at| name.len() - at <= word.len() + 20)
    };
    if near("passw") || near("pwd") {
        Some(Name::Password)
    } else if KEYWORDS.iter().any(|word| near(word)) || last_word.ends_with("auth") {
        Some(Name::Secret)
    } else if PROVIDERS.iter().any(|word| near(word)) {
        Some(Name::Provider)
    } else if last_word.ends_with("key") {
        Some(Name::Weak)
    } else if last_word == "type" {
        Some(Name::Type)
    } else {
        None
    }
}

fn value(bytes: &[u8], at: usize, complete: bool, name: Name) -> Seen {
    let class = if name == Name::Password {
        Class::PASSWORD
    } else {
        Class::VALUE
    };
    let run = class.run(&bytes[at..], usize::MAX);
    let end = at + run;
    if end == bytes.len() && !complete {
        return Seen::More {
            tells: run >= TELLING_BYTES && !matches!(name, Name::Weak | Name::Type),
        };
    }
    if run == 0 || matches!(bytes.get(end), Some(b'(' | b'{' | b':' | b'$' | b'[')) {
        return Seen::Nothing;
    }
    let value = trimmed(&bytes[at..end], b".-/");
    let quoted = at > 0 && matches!(bytes[at - 1], b'"' | b'\'' | b'`');
    if is_secret(value, name, quoted) {
        Seen::Found {
            bytes: value.len(),
            goes_on: end == bytes.len() && run > 128,
        }
    } else {
        Seen::Nothing
    }
}

fn is_secret(value: &[u8], name: Name, quoted: bool) -> bool {
    if name == Name::Type {
        return quoted && value == ACCOUNT;
    }
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic())
        .count();
    if digits == 0 || letters == 0 || is_standin(value) {
        return false;
    }
    let bits = entropy(value);
    let is_hex = value
        .iter()
        .all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    if name == Name::Password {
        let short = quoted && value.len() >= PASSWORD_BYTES_MIN && bits >= 2.5;
        return short || (value.len() >= VALUE_BYTES_MIN && bits >= 3.0 && !is_path(value));
    }
    if is_path(value) || value.len() < VALUE_BYTES_MIN {
        return false;
    }
    match name {
        Name::Scheme => bits >= 2.75,
        Name::Secret if value.len() < 16 => {
            let has = |is: fn(&u8) -> bool| value.iter().any(is);
            digits >= 2 && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && bits >= 3.2
        }
        Name::Secret if is_hex => bits >= 2.8,
        Name::Secret => bits >= 3.5,
        Name::Provider => value.len() >= 16 && bits >= if is_hex { 2.9 } else { 3.5 },
        Name::Weak => value.len() >= 20 && !is_hex && bits >= 4.2,
        Name::Password | Name::Type => false,
    }
}

/// Names of hosts, files, versions and members: short pieces between dots, or words between slashes.
fn is_path(value: &[u8]) -> bool {
    let pieces = |separator: u8| value.split(move |byte| *byte == separator);
    let dotted = pieces(b'.').count() > 1 && pieces(b'.').all(|piece| piece.len() < 16);
    let wordy =
        |piece: &[u8]| piece.iter().filter(|byte| byte.is_ascii_digit()).count() * 4 <= piece.len();
    dotted
        || (pieces(b'/').count() > 2 && pieces(b'/').all(|piece| piece.len() < 16 && wordy(piece)))
}

fn is_standin(value: &[u8]) -> bool {
    let text: String = value
        .iter()
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    STANDINS.iter().any(|standin| text.contains(standin))
}

/// `name:password` or `name:` with a key for a name, to the end of the word or the quote.
fn user(bytes: &[u8], at: usize, complete: bool) -> Seen {
    let quote = bytes[at - 1];
    let quote = matches!(quote, b'"' | b'\'').then_some(quote);
    let ends = |byte: u8| byte.is_ascii_whitespace() || Some(byte) == quote;
    let rest = &bytes[at..];
    let end = rest
        .iter()
        .position(|byte| ends(*byte))
        .unwrap_or(rest.len());
    if end == rest.len() && !complete {
        let tells = rest
            .iter()
            .position(|byte| *byte == b':')
            .is_some_and(|colon| colon > 0 && end > colon + 2);
        return Seen::More { tells };
    }
    let word = &rest[..end];
    let found = Seen::Found {
        bytes: end,
        goes_on: false,
    };
    match word.iter().position(|byte| *byte == b':') {
        Some(colon) if is_login(&word[..colon], &word[colon + 1..]) => found,
        _ => Seen::Nothing,
    }
}

fn is_login(name: &[u8], password: &[u8]) -> bool {
    let open = |byte: &u8| matches!(byte, b'$' | b'{' | b'<' | b'(' | b'[' | b'*' | b'%' | b'/');
    if name.is_empty() || name.iter().chain(password).any(open) {
        return false;
    }
    let password = match password {
        [b'"' | b'\'', inner @ .., b'"' | b'\''] => inner,
        _ => password,
    };
    // A key may be all that there is, in place of the name.
    let key = if password.is_empty() { name } else { password };
    let digits = key.iter().filter(|byte| byte.is_ascii_digit()).count();
    let plain = [
        "test", "secret", "token", "pass", "admin", "user", "guest", "yyy", "xxx", "none",
    ];
    let is_plain = plain
        .iter()
        .any(|word| key.eq_ignore_ascii_case(word.as_bytes()))
        || is_standin(key);
    key.len() >= if password.is_empty() { 8 } else { 4 }
        && digits < key.len()
        && !is_plain
        && entropy(key) >= 2.0
}

/// `name:password@` behind `://`.
fn url(bytes: &[u8], at: usize, complete: bool) -> Seen {
    let rest = &bytes[at..];
    let ends = |byte: &u8| {
        byte.is_ascii_whitespace()
            || matches!(byte, b'/' | b'@' | b'"' | b'\'' | b'<' | b'>' | b'?' | b'#')
    };
    let Some(end) = rest.iter().position(ends) else {
        let tells = rest
            .iter()
            .position(|byte| *byte == b':')
            .is_some_and(|colon| rest.len() > colon + 6);
        let more = Seen::More { tells };
        return if complete { Seen::Nothing } else { more };
    };
    if rest[end] != b'@' {
        return Seen::Nothing;
    }
    match rest[..end].iter().position(|byte| *byte == b':') {
        Some(colon) if is_login(&rest[..colon], &rest[colon + 1..end]) => Seen::Found {
            bytes: end,
            goes_on: false,
        },
        _ => Seen::Nothing,
    }
}
