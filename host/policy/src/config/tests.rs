//! The static configuration as operators meet it.

use super::{LogFormat, SecretRef, StaticConfig};
use crate::document::{parse, place};

const EXAMPLE: &str = r#"
state = "var"
floor = "platform"

[data]
listen = "127.0.0.1:8080"
workers = 2
body-bytes-max = 33_554_432
header-timeout-ms = 10_000

[control]
listen = "127.0.0.1:8081"
token = "secret://file/var/admin-token"

[keys]
pepper = "secret://file//etc/pepper"

[[credential]]
name = "mock"
value = "secret://env/MOCK_KEY"
origins = ["http://127.0.0.1:9000"]
tenants = ["demo"]

[egress]
allow-private = ["127.0.0.1:8090"]

[telemetry]
log = "json"
"#;

fn read(text: &str) -> Result<StaticConfig, String> {
    parse("pointsman.toml", text).map_err(|error| error.to_string())
}

fn overridden(vars: &[(&str, &str)]) -> Result<StaticConfig, String> {
    let mut config = StaticConfig::default();
    let vars = vars
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config
        .override_with(vars)
        .map_err(|error| error.to_string())?;
    Ok(config)
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(read(""), Ok(StaticConfig::default()));
}

#[test]
fn the_example_is_read() {
    let config = read(EXAMPLE).expect("the example");
    assert_eq!(config.state, "var");
    assert_eq!(config.data.workers, Some(2));
    assert_eq!(
        config.control.token,
        Some(SecretRef::File("var/admin-token".to_owned()))
    );
    assert_eq!(
        config.keys.pepper,
        Some(SecretRef::File("/etc/pepper".to_owned()))
    );
    assert_eq!(
        config.credentials[0].value,
        SecretRef::Env("MOCK_KEY".to_owned())
    );
    assert_eq!(config.telemetry.log, LogFormat::Json);
    assert!(config.credentials[0].serves("demo") && !config.credentials[0].serves("other"));
    assert_eq!(config.check(), []);
}

#[test]
fn secrets_have_names_and_tenants() {
    let text = "[[secret]]\nname = \"a b\"\nvalue = \"secret://env/A\"\ntenants = []\n";
    let config = read(&format!("{text}{text}")).expect("read");
    let all: Vec<String> = config.check().iter().map(ToString::to_string).collect();
    assert_eq!(all.len(), 5, "{all:?}");
    assert!(
        all[0].contains("secret[0].name: not a secret's name"),
        "{all:?}"
    );
    assert!(all[1].contains("secret[0].tenants"), "{all:?}");
    assert!(all[3].contains("is there twice"), "{all:?}");
    let good = text.replace("a b", "hook-1").replace("[]", "[\"demo\"]");
    assert_eq!(read(&good).expect("read").check(), []);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    insta::assert_snapshot!(read("[data]\nlissten = \"127.0.0.1:1\"\n").expect_err("refused"), @r#"
    pointsman.toml:2:1: unknown key `lissten`
       |
     2 | lissten = "127.0.0.1:1"
       | ^^^^^^^
      help: did you mean `listen`? known here: listen, workers, body-bytes-max, bodies-bytes-max, body-timeout-ms, header-timeout-ms, requests-max, tenant-percent-max, client-idle-ms, unread-bytes-max, drain-ms, upgrade-ms, tls, http2
    "#);
}

#[test]
fn a_plain_secret_is_refused_and_not_repeated() {
    let error = read("[control]\ntoken = \"sk-live-1234\"\n").expect_err("refused");
    assert!(!error.contains("1234"), "{error}");
    insta::assert_snapshot!(error, @r"
    pointsman.toml:2:9: a secret is written as a reference: `secret://env/NAME` or `secret://file/PATH`, never as its value
       |
     2 | token = **************
       |         ^^^^^^^^^^^^^^
    ");
    for text in [
        "[control]\ntoken = 1234\n",
        "[control]\ntoken = sk-1234\n",
        "[keys]\npepper = [\"1234\"]\n",
    ] {
        let error = read(text).expect_err("refused");
        assert!(!error.contains("1234"), "{error}");
    }
}

#[test]
fn what_is_kept_has_bounds() {
    let config = read("[cache]\nbytes-max = 0\n[idempotency]\nttl-s = 60\nkeys-max = 1\n");
    let config = config.expect("a configuration");
    assert_eq!(config.cache.bytes_max, 0);
    assert_eq!(
        (config.idempotency.ttl_s, config.idempotency.keys_max),
        (60, 1)
    );
    assert_eq!(config.idempotency.bytes_max, 64 << 20);
    for text in [
        "bytes-max = 1",
        "entry-bytes-max = 1",
        "ttl-s = 0",
        "keys-max = 0",
    ] {
        let error = read(&format!("[idempotency]\n{text}\n")).expect_err(text);
        assert!(error.contains("is out of range"), "{text}: {error}");
    }
}

#[test]
fn numbers_have_bounds() {
    insta::assert_snapshot!(read("[data]\nworkers = 0\n").expect_err("refused"), @r"
    pointsman.toml:2:11: 0 is out of range: write a whole number from 1 to 1024
       |
     2 | workers = 0
       |           ^
    ");
    assert!(
        read("[data]\nlisten = \"localhost\"\n")
            .expect_err("refused")
            .contains("not an address")
    );
}

#[test]
fn credentials_are_checked_with_their_place() {
    let text = "[[credential]]\nname = \"a\"\nvalue = \"secret://env/A\"\norigins = [\"https://x/v1\"]\ntenants = []\n";
    let mut findings = read(text).expect("well formed").check();
    place(&mut findings, "pointsman.toml", text);
    let all: Vec<_> = findings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(all.join("\n"), @r"
    error: pointsman.toml:4:12: credential[0].origins[0]: an origin is `scheme://host:port` without a path
    error: pointsman.toml:5:1: credential[0].tenants: credential `a` may be used for no tenant; name tenants, or `*` for all
    ");
}

#[test]
fn a_collector_and_its_headers_are_checked() {
    let text = "[telemetry]\notlp = \"collector:4318\"\nservice = \"\"\n\n[telemetry.headers]\n\"a b\" = \"secret://env/A\"\n";
    let mut findings = read(text).expect("well formed").check();
    place(&mut findings, "pointsman.toml", text);
    let all: Vec<_> = findings.iter().map(ToString::to_string).collect();
    assert!(
        all.len() == 3
            && all[0].contains(":2:1: telemetry.otlp: not an http or https URL")
            && all[1].contains("telemetry.headers: not a header name")
            && all[2].contains("telemetry.service: a service has a name"),
        "{all:#?}"
    );
    let good = "[telemetry]\notlp = \"https://collector.example/otlp\"\n[telemetry.headers]\nauthorization = \"secret://env/A\"\n";
    assert_eq!(read(good).expect("well formed").check(), []);
    let plain = read("[telemetry.headers]\nauthorization = \"Bearer 1234\"\n");
    assert!(!plain.expect_err("refused").contains("1234"));
}

#[test]
fn a_level_that_is_none_is_refused_instead_of_silencing_all() {
    let check = |level: &str| {
        let config = read(&format!("[telemetry]\nlevel = \"{level}\"\n")).expect("well formed");
        config
            .check()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    for level in ["info", "WARN", "off", "info,pointsman_upstream=debug"] {
        assert!(check(level).is_empty(), "{level}");
    }
    for level in ["", "inof", "info,", "info,verbose"] {
        let found = check(level);
        assert!(
            found.len() == 1 && found[0].contains("is no level"),
            "{level}: {found:?}"
        );
    }
}

#[test]
fn a_share_is_between_none_and_all() {
    for (text, share) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25)] {
        let config = read(&format!("[telemetry]\nsample-ratio = {text}\n")).expect("a share");
        assert!((config.telemetry.sample_ratio - share).abs() < f64::EPSILON);
        let config = overridden(&[("POINTSMAN_TELEMETRY_SAMPLE_RATIO", text)]).expect("a share");
        assert!((config.telemetry.sample_ratio - share).abs() < f64::EPSILON);
    }
    for text in ["-0.1", "1.5", "nan", "inf"] {
        let error = read(&format!("[telemetry]\nsample-ratio = {text}\n")).expect_err("refused");
        assert!(error.contains("a number from 0 to 1"), "{error}");
        assert!(overridden(&[("POINTSMAN_TELEMETRY_SAMPLE_RATIO", text)]).is_err());
    }
}

#[test]
fn variables_override_every_kind_of_key() {
    let config = overridden(&[
        ("POINTSMAN_DATA_LISTEN", "0.0.0.0:80"),
        ("POINTSMAN_DATA_WORKERS", "3"),
        ("POINTSMAN_STATE", "elsewhere"),
        ("POINTSMAN_TELEMETRY_LOG", "json"),
        ("POINTSMAN_CONTROL_TOKEN", "secret://env/T"),
        ("POINTSMAN_EGRESS_ALLOW_PRIVATE", "127.0.0.1:1, 127.0.0.1:2"),
        ("POINTSMAN_LOG", "debug"),
        ("HOME", "/root"),
    ])
    .expect("all are keys");
    assert_eq!(config.data.listen, "0.0.0.0:80");
    assert_eq!(config.data.workers, Some(3));
    assert_eq!(config.state, "elsewhere");
    assert_eq!(config.telemetry.log, LogFormat::Json);
    assert_eq!(config.control.token, Some(SecretRef::Env("T".to_owned())));
    assert_eq!(config.egress.allow_private, ["127.0.0.1:1", "127.0.0.1:2"]);
    assert_eq!(config.data.drain_ms, StaticConfig::default().data.drain_ms);
}

#[test]
fn a_variable_that_is_no_key_is_refused() {
    assert_eq!(
        overridden(&[("POINTSMAN_DATA_LISTN", "x")]).expect_err("refused"),
        "the environment variable POINTSMAN_DATA_LISTN is no configuration key; did you mean POINTSMAN_DATA_LISTEN?"
    );
    assert_eq!(
        overridden(&[("POINTSMAN_DATA_WORKERS", "many")]).expect_err("refused"),
        "the environment variable POINTSMAN_DATA_WORKERS does not fit `data.workers`: not a whole number"
    );
    let error = overridden(&[("POINTSMAN_CONTROL_TOKEN", "sk-1234")]).expect_err("refused");
    assert!(
        error.contains("secret://env/NAME") && !error.contains("1234"),
        "{error}"
    );
}

#[test]
fn the_schema_names_every_key() {
    let schema = super::schema().to_value().to_string();
    for key in [
        "header-timeout-ms",
        "allow-private",
        "\"credential\"",
        "secret://",
    ] {
        assert!(schema.contains(key), "{key}");
    }
}
