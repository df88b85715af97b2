//! Tokens that tell by their form: a table of patterns, and what matches them at one place.
//!
//! A pattern is literal text and runs `{class min,max}`; `{class n}` is exactly n, `{class n,}` has no end. Runs take
//! all that they can, so a literal behind a run must begin outside of its class.

use crate::class::{Class, is_word};
use crate::seen::{Seen, entropy};

/// Shortest run that tells of a token, once its literal beginning is there; and where it has none.
const TELLING_BYTES: usize = 6;
const TELLING_BYTES_ALONE: usize = 20;
/// Shorter than any token; words of prose are not looked at any further.
const TOKEN_BYTES_MIN: usize = 13;

/// Patterns with the least entropy of what follows their beginning, in bits a byte. The forms are public facts of the
/// providers, after the documentation of each and the rules that secret scanners publish.
const FORMATS: &[(&str, f32)] = &[
    ("A3-{U6}-{U11}-{U5}-{U5}-{U5}", 3.5),
    ("A3-{U6}-{U6}-{U5}-{U5}-{U5}-{U5}", 3.5),
    ("ops_eyJ{b100,}", 3.5),
    ("p8e-{a32}", 2.5),
    ("AGE-SECRET-KEY-1{U58}", 3.0),
    ("pat{a14}.{x64}", 3.0),
    ("LTAI{a20}", 2.5),
    ("sk-ant-api03-{w93}AA", 3.0),
    ("sk-ant-admin01-{w93}AA", 3.0),
    ("sk-ant-oat01-{w80,}", 3.0),
    ("AKCp{a69}", 4.0),
    ("cmVmd{a59}", 4.0),
    ("ATATT3{n100,}", 3.5),
    ("AKIA{t16}", 3.0),
    ("ASIA{t16}", 3.0),
    ("ABIA{t16}", 3.0),
    ("ACCA{t16}", 3.0),
    ("ABSK{b100,}", 3.0),
    ("{z3}{d1}Q~{z31,34}", 3.0),
    ("bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t{b0,}", 0.0),
    ("4b1d{a38}", 3.0),
    ("CLOJARS_{a60}", 2.5),
    ("v1.0-{x24}-{x146}", 2.5),
    ("dapi{x32}", 3.0),
    ("dnkey-{n26}-{n52}", 3.0),
    ("doo_v1_{x64}", 3.0),
    ("dop_v1_{x64}", 3.0),
    ("dor_v1_{x64}", 3.0),
    ("dp.pt.{a40,}", 2.5),
    ("duffel_test_{n43}", 2.5),
    ("duffel_live_{n43}", 2.5),
    ("dt0c01.{a24}.{a64}", 3.5),
    ("EZAK{a54}", 2.5),
    ("EZTK{a54}", 2.5),
    ("EAAC{a100,}", 3.5),
    ("EAAM{a100,}", 3.5),
    ("EAAA{w22,60}", 2.5),
    ("FLWSECK_TEST-{a12,}", 2.0),
    ("FLWPUBK_TEST-{a32,}", 2.5),
    ("fo1_{w43}", 3.5),
    ("fm1a_{b100,}", 3.5),
    ("fm1r_{b100,}", 3.5),
    ("fm2_{b100,}", 3.5),
    ("fio-u-{n64}", 3.0),
    ("AIza{w35}", 4.0),
    ("ya29.{w40,}", 3.5),
    ("GOCSPX-{w28}", 3.0),
    ("ghp_{a36,}", 3.0),
    ("gho_{a36,}", 3.0),
    ("ghu_{a36,}", 3.0),
    ("ghs_{a36,}", 3.0),
    ("ghr_{a36,}", 3.0),
    ("github_pat_{w82}", 3.0),
    ("glcbt-{a1,5}_{w20}", 3.0),
    ("gldt-{w20}", 3.0),
    ("glffct-{w20}", 3.0),
    ("glft-{w20}", 3.0),
    ("glimt-{w25}", 3.0),
    ("glagent-{w50}", 3.0),
    ("gloas-{w64}", 3.0),
    ("glpat-{w20}", 3.0),
    ("glpat-{w27,300}.{l9}", 3.5),
    ("glptt-{x40}", 3.0),
    ("GR1348941{w20}", 3.0),
    ("glrt-{w20}", 3.0),
    ("glrt-{w27,300}.{l9}", 3.5),
    ("glsoat-{w20}", 3.0),
    ("_gitlab_session={l32}", 3.0),
    ("eyJrIjoi{b70,}", 3.0),
    ("glc_{b32,}", 3.0),
    ("glsa_{a32}_{X8}", 3.0),
    ("pat.{w22}.{a24}.{a20}", 3.5),
    ("sat.{w22}.{a24}.{a20}", 3.5),
    ("{a14}.atlasv1.{n60,}", 3.5),
    ("HRKU-AA{w58}", 3.5),
    ("hf_{a34}", 2.5),
    ("api_org_{a34}", 2.5),
    ("ico-{a32}", 3.0),
    ("s-s4t2ud-{X64}", 3.0),
    ("s-s4t2af-{X64}", 3.0),
    ("ey{a17,}.ey{w17,}.{w10,}", 3.0),
    ("ZXlK{b60,}", 3.5),
    ("lin_api_{a40}", 2.5),
    ("{a6}_{a29}_mmk", 3.5),
    ("key-{x32}", 3.0),
    ("pubkey-{x32}", 3.0),
    ("{x32}-us{d1,2}", 3.0),
    ("pk.{l60}.{l22}", 3.5),
    ("NRAK-{U27}", 3.0),
    ("NRJS-{x19}", 2.5),
    ("NRII-{w32}", 3.0),
    ("npm_{a36}", 2.5),
    ("ntn_{d11}{a35}", 3.5),
    ("API-{U26}", 3.0),
    ("sk-proj-{w60,}", 3.8),
    ("sk-svcacct-{w60,}", 3.8),
    ("sk-admin-{w60,}", 3.8),
    ("sk-{a20}T3BlbkFJ{a20}", 3.0),
    ("sk-or-v1-{x64}", 3.0),
    ("gsk_{a52}", 3.5),
    ("xai-{a80}", 3.5),
    ("r8_{a37}", 3.5),
    ("sha256~{w43}", 3.5),
    ("pplx-{a48}", 3.5),
    ("pscale_tkn_{e32,64}", 3.0),
    ("pscale_oauth_{e32,64}", 3.0),
    ("pscale_pw_{e32,64}", 3.0),
    ("PMAK-{x24}-{x34}", 3.0),
    ("pnu_{a36}", 2.5),
    ("pul-{x40}", 2.5),
    ("pypi-AgEIcHlwaS5vcmc{w50,}", 3.0),
    ("rdme_{l70}", 2.5),
    ("rubygems_{x48}", 2.5),
    ("tk-us-{w48}", 2.5),
    ("SG.{e66}", 3.0),
    ("xkeysib-{x64}-{a16}", 2.5),
    ("sntrys_{b50,}", 3.5),
    ("sntryu_{x64}", 3.0),
    ("sm_aat_{a16}", 3.0),
    ("sm_pat_{a16}", 3.0),
    ("sm_sat_{a16}", 3.0),
    ("shippo_live_{X40}", 2.5),
    ("shippo_test_{X40}", 2.5),
    ("shpat_{X32}", 2.5),
    ("shpca_{X32}", 2.5),
    ("shppa_{X32}", 2.5),
    ("shpss_{X32}", 2.5),
    ("xapp-{d1}-{a5,}-{d5,}-{a20,}", 2.5),
    ("xoxb-{d8,14}-{e18,}", 2.5),
    ("xoxp-{d10,13}-{d10,13}-{d10,13}-{e28,}", 2.5),
    ("xoxe-{d10,13}-{d10,13}-{d10,13}-{e28,}", 2.5),
    ("xoxe-{d1}-{a100,}", 2.5),
    ("xoxe.xoxb-{d1}-{a100,}", 2.5),
    ("xoxe.xoxp-{d1}-{a100,}", 2.5),
    ("xoxo-{d1,}-{d1,}-{d1,}-{X6,}", 2.5),
    ("xoxs-{d1,}-{d1,}-{d1,}-{X6,}", 2.5),
    ("xoxa-{a8,48}", 2.5),
    ("xoxa-{d1}-{a8,48}", 2.5),
    ("xoxr-{a8,48}", 2.5),
    ("xoxr-{d1}-{a8,48}", 2.5),
    ("hooks.slack.com/services/{b40,60}", 3.0),
    ("hooks.slack.com/workflows/{b40,60}", 3.0),
    ("hooks.slack.com/triggers/{b40,60}", 3.0),
    ("sgp_{X40}", 3.0),
    ("sgp_local_{X40}", 3.0),
    ("sgp_{X16}_{X40}", 3.0),
    ("sq0atp-{w22,60}", 2.5),
    ("sq0csp-{w40,60}", 2.5),
    ("sk_live_{a10,}", 2.5),
    ("sk_test_{a10,}", 2.5),
    ("sk_prod_{a10,}", 2.5),
    ("rk_live_{a10,}", 2.5),
    ("rk_test_{a10,}", 2.5),
    ("rk_prod_{a10,}", 2.5),
    ("whsec_{b32,}", 3.0),
    ("SK{X32}", 3.0),
    ("{d8,10}:AA{w33}", 3.5),
    ("tfp_{e59}", 3.0),
    ("hvb.{w130,}", 3.5),
    ("hvs.{w90,}", 3.5),
    ("s.{a24}", 3.8),
    ("t1.{w20,}.{w86}", 3.5),
    ("AQVN{w35,38}", 3.5),
    ("{d15,16}|{w27,40}", 3.0),
];

/// One piece of a pattern.
#[derive(Debug)]
enum Part {
    Literal(&'static [u8]),
    Run {
        class: Class,
        min: usize,
        max: usize,
    },
}

/// A pattern, ready to match.
#[derive(Debug)]
struct Format {
    parts: Vec<Part>,
    entropy_min: f32,
}

/// All patterns, by the byte that they begin with.
#[derive(Debug)]
pub(crate) struct Formats {
    formats: Vec<Format>,
    begin: Vec<Vec<u16>>,
}

impl Formats {
    /// Reads the table.
    ///
    /// # Errors
    /// Which pattern is none.
    pub(crate) fn new() -> Result<Self, String> {
        let mut formats = Vec::new();
        let mut begin = vec![Vec::new(); 128];
        for (pattern, entropy_min) in FORMATS {
            let parts = parts(pattern).ok_or_else(|| format!("`{pattern}` is no pattern"))?;
            let number =
                u16::try_from(formats.len()).map_err(|_| "too many patterns".to_owned())?;
            for (byte, numbers) in (0_u8..).zip(&mut begin) {
                let begins = match parts.first() {
                    Some(Part::Literal(literal)) => literal[0] == byte,
                    Some(Part::Run { class, .. }) => class.has(byte),
                    None => false,
                };
                if begins {
                    numbers.push(number);
                }
            }
            formats.push(Format {
                parts,
                entropy_min: *entropy_min,
            });
        }
        Ok(Self { formats, begin })
    }

    /// What stands at `at`, where a word begins.
    pub(crate) fn see(&self, bytes: &[u8], at: usize, complete: bool) -> Seen {
        let mut seen = Seen::Nothing;
        let run = Class::TOKEN.run(&bytes[at..], TOKEN_BYTES_MIN);
        if run < TOKEN_BYTES_MIN && (complete || at + run < bytes.len()) {
            return seen;
        }
        let Some(numbers) = self.begin.get(usize::from(bytes[at])) else {
            return seen;
        };
        for &number in numbers {
            match self.formats[usize::from(number)].see(bytes, at, complete) {
                Seen::Nothing => {}
                Seen::More { tells } => seen = seen.or_more(tells),
                // Of several the first in the table counts, also while it is undecided.
                found @ Seen::Found { .. } if seen == Seen::Nothing => return found,
                Seen::Found { .. } => return seen.or_more(true),
            }
        }
        seen
    }
}

impl Format {
    fn see(&self, bytes: &[u8], at: usize, complete: bool) -> Seen {
        let mut place = at;
        let mut literal_bytes = 0;
        let mut open = false;
        let more = |place: usize, literal_bytes: usize| {
            if complete {
                Seen::Nothing
            } else {
                Seen::More {
                    tells: place - at
                        >= if literal_bytes == 0 {
                            TELLING_BYTES_ALONE
                        } else {
                            literal_bytes.max(4) + TELLING_BYTES
                        },
                }
            }
        };
        for part in &self.parts {
            match part {
                Part::Literal(literal) => {
                    let rest = &bytes[place..];
                    if rest.len() < literal.len() {
                        return if literal.starts_with(rest) {
                            more(bytes.len(), literal_bytes)
                        } else {
                            Seen::Nothing
                        };
                    }
                    if !rest.starts_with(literal) {
                        return Seen::Nothing;
                    }
                    place += literal.len();
                    if literal_bytes == 0 && place - at == literal.len() {
                        literal_bytes = literal.len();
                    }
                }
                Part::Run { class, min, max } => {
                    let rest = &bytes[place..];
                    let run = class.run(rest, *max);
                    if run < *min {
                        return if run == rest.len() {
                            more(bytes.len(), literal_bytes)
                        } else {
                            Seen::Nothing
                        };
                    }
                    if run == rest.len() && run < *max && !complete {
                        return more(bytes.len(), literal_bytes);
                    }
                    place += run;
                    open = run == rest.len() && *max == usize::MAX;
                }
            }
        }
        match bytes.get(place) {
            None if !complete => return more(place, literal_bytes),
            Some(&byte) if is_word(byte) => return Seen::Nothing,
            _ => {}
        }
        if entropy(&bytes[at + literal_bytes..place]) < self.entropy_min {
            return Seen::Nothing;
        }
        Seen::Found {
            bytes: place - at,
            goes_on: open,
        }
    }
}

fn parts(pattern: &'static str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        let Some((literal, after)) = rest.split_once('{') else {
            parts.push(Part::Literal(rest.as_bytes()));
            break;
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.as_bytes()));
        }
        let (run, after) = after.split_once('}')?;
        let class = Class::named(run.bytes().next()?)?;
        let (min, max) = match run[1..].split_once(',') {
            None => {
                let count = run[1..].parse().ok()?;
                (count, count)
            }
            Some((min, "")) => (min.parse().ok()?, usize::MAX),
            Some((min, max)) => (min.parse().ok()?, max.parse().ok()?),
        };
        parts.push(Part::Run { class, min, max });
        rest = after;
    }
    (!parts.is_empty()).then_some(parts)
}
