//! The control API and its document: requests made from the document's own schemas and examples, and broken ones made
//! from those, are answered as the document says, by the real server.

mod requests;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jsonschema::Validator;
use pointsman_e2e::{policy, says};
use pointsman_harness::{Gateway, GatewayOptions, Provider, plugins, workspace};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a request must come to, besides an answer that is documented and no fault of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Taken,
    Refused,
    Either,
}

#[derive(Clone, Debug)]
struct Asked {
    path: String,
    headers: Vec<String>,
    body: Vec<u8>,
    expected: Expected,
}

struct Operation {
    method: String,
    template: String,
    told: Value,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

struct Api {
    document: Value,
    authority: String,
    token: String,
    /// Variables of paths, by operation where it matters: `key`, `get-decision/id`.
    names: BTreeMap<String, String>,
    /// Bodies that are not JSON, or that no example can know, by operation.
    bodies: BTreeMap<String, (Value, Vec<u8>)>,
    validators: HashMap<String, Validator>,
}

impl Operation {
    fn id(&self) -> &str {
        self.told["operationId"].as_str().unwrap_or_default()
    }

    fn parameters(&self, place: &str) -> Vec<&Value> {
        let all = self.told["parameters"].as_array().into_iter().flatten();
        all.filter(|told| told["in"] == place).collect()
    }

    fn takes(&self, header: &str) -> bool {
        let headers = self.parameters("header");
        headers.iter().any(|told| told["name"] == header)
    }

    /// The content type of its body, and the body's schema.
    fn body(&self) -> Option<(&str, &Value)> {
        let contents = self.told["requestBody"]["content"].as_object()?;
        let (kind, content) = contents.iter().next()?;
        Some((kind, &content["schema"]))
    }
}

impl Api {
    async fn of(gateway: &Gateway) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(workspace().join("docs/generated/openapi.json"))?;
        let token = std::fs::read_to_string(gateway.state().join("admin-token"))?;
        let mut api = Self {
            document: serde_json::from_str(&text)?,
            authority: gateway.control_url.trim_start_matches("http://").to_owned(),
            token: token.trim().to_owned(),
            names: BTreeMap::new(),
            bodies: BTreeMap::new(),
            validators: HashMap::new(),
        };
        let served = api.get("/admin/v1/openapi.json").await?;
        ensure!(served == api.document, "the served document is another one");
        let listed = api.get("/admin/v1/plugins").await?;
        api.name("digest", &listed["plugins"][0]["digest"])?;
        let keys = api.get("/admin/v1/tenants/demo/keys").await?;
        api.name("key", &keys["keys"][0]["id"])?;
        let decisions = api.get("/admin/v1/decisions").await?;
        let newest = &decisions["decisions"][0]["closed"]["id"];
        api.name("get-decision/id", newest)?;
        let first = api.get("/admin/v1/policies/quickstart/versions/1").await?;
        for operation in ["push-version", "validate-bundle"] {
            let bundle = first["bundle"].clone();
            let bytes = bundle.to_string().into_bytes();
            api.bodies.insert(operation.to_owned(), (bundle, bytes));
        }
        let component = std::fs::read_dir(plugins()?)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "wasm")
            })
            .context("no plugin is built")?;
        let component = std::fs::read(component)?;
        api.bodies
            .insert("push-plugin".to_owned(), (Value::Null, component));
        let prices = std::fs::read(workspace().join("policies/prices.jsonl"))?;
        api.bodies
            .insert("put-prices".to_owned(), (Value::Null, prices));
        Ok(api)
    }

    fn name(&mut self, variable: &str, value: &Value) -> anyhow::Result<()> {
        let value = value.as_str().with_context(|| format!("no {variable}"))?;
        self.names.insert(variable.to_owned(), value.to_owned());
        Ok(())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let asked = Asked {
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            expected: Expected::Taken,
        };
        let answer = self.send("GET", &asked, true).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Every operation: those that put first, those that remove last.
    fn operations(&self) -> Vec<Operation> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        let mut all: Vec<Operation> = paths
            .flat_map(|(template, item)| {
                let methods = item.as_object().into_iter().flatten();
                methods.map(|(method, told)| Operation {
                    method: method.to_uppercase(),
                    template: template.clone(),
                    told: told.clone(),
                })
            })
            .collect();
        let rank = |operation: &Operation| match operation.method.as_str() {
            "PUT" => 0,
            "GET" => 1,
            "POST" => 2,
            _ => 3,
        };
        all.sort_by_key(|operation| (rank(operation), std::cmp::Reverse(operation.template.len())));
        all
    }

    /// Sends a request on a connection of its own; of a stream of events the head is enough.
    async fn send(&self, method: &str, asked: &Asked, with_token: bool) -> anyhow::Result<Answer> {
        let mut head = format!(
            "{method} {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n",
            asked.path
        );
        if with_token {
            head.push_str(&format!("authorization: Bearer {}\r\n", self.token));
        }
        let length = "content-length: ";
        if !asked
            .headers
            .iter()
            .any(|header| header.starts_with(length))
        {
            head.push_str(&format!("{length}{}\r\n", asked.body.len()));
        }
        for header in &asked.headers {
            head.push_str(&format!("{header}\r\n"));
        }
        head.push_str("\r\n");
        let exchange = async {
            let mut stream = TcpStream::connect(&self.authority).await?;
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&asked.body).await?;
            let mut bytes = Vec::new();
            while stream.read_buf(&mut bytes).await? > 0 {
                let head = Answer::of(&bytes).map(|answer| answer.head);
                if head.is_some_and(|head| head.contains("text/event-stream")) {
                    break;
                }
            }
            std::io::Result::Ok(bytes)
        };
        let bytes = tokio::time::timeout(PATIENCE, exchange).await;
        let bytes = bytes.with_context(|| format!("{method} {}: no answer", asked.path))??;
        Answer::of(&bytes).with_context(|| format!("{method} {}: no answer", asked.path))
    }

    /// Where a value does not have a schema.
    fn violations(&mut self, schema: &Value, value: &Value) -> anyhow::Result<Vec<String>> {
        let key = schema.to_string();
        if !self.validators.contains_key(&key) {
            let whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "components": self.document["components"],
                "allOf": [schema],
            });
            let validator = jsonschema::validator_for(&whole);
            let validator = validator.map_err(|error| anyhow::anyhow!("{key}: {error}"))?;
            self.validators.insert(key.clone(), validator);
        }
        let found = self.validators[&key].iter_errors(value);
        Ok(found
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect())
    }

    /// What of an answer is not as the document says.
    fn disagreement(
        &mut self,
        operation: &Operation,
        answer: &Answer,
    ) -> anyhow::Result<Option<String>> {
        let told = &operation.told["responses"][answer.status.to_string()];
        if !told.is_object() {
            return Ok(Some(format!("{} is not documented", answer.status)));
        }
        let told = match told["$ref"].as_str() {
            Some(at) => self
                .document
                .pointer(&at[1..])
                .context("a reference")?
                .clone(),
            None => told.clone(),
        };
        let Some(contents) = told["content"].as_object() else {
            return Ok((!answer.body.is_empty()).then(|| "it has a body".to_owned()));
        };
        let kind = answer.content_type();
        let Some(content) = contents.get(kind) else {
            return Ok(Some(format!("the content type `{kind}` is not documented")));
        };
        if !kind.ends_with("json") {
            return Ok(None);
        }
        let Ok(body) = serde_json::from_slice(&answer.body) else {
            return Ok(Some("the body is no JSON".to_owned()));
        };
        let found = self.violations(&content["schema"], &body)?;
        Ok((!found.is_empty()).then(|| found.join("; ")))
    }
}

impl Answer {
    fn of(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        Some(Self {
            status: head.split(' ').nth(1)?.parse().ok()?,
            head,
            body: bytes[end + 4..].to_vec(),
        })
    }

    fn content_type(&self) -> &str {
        let value = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix("content-type: "));
        value
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        format!(
            "{} {}",
            self.status,
            text.chars().take(600).collect::<String>()
        )
    }
}

/// A gateway whose policy and tenant have the names of the document's examples, with one decision.
async fn node() -> anyhow::Result<(Provider, Gateway)> {
    let provider = Provider::start().await?;
    let bundle = policy("quickstart", &[("local", &provider.endpoint())], "");
    let gateway = Gateway::start(GatewayOptions::serving(bundle, &[provider.authority()])).await?;
    let answer = gateway.client("demo")?.chat(&says("hello")).await?;
    let id = answer.header("x-pointsman-request-id").context("an id")?;
    gateway.why(id).await?;
    Ok((provider, gateway))
}

/// Sends a request and notes what is not as it should be.
async fn check(
    api: &mut Api,
    operation: &Operation,
    asked: &Asked,
    findings: &mut Vec<String>,
) -> anyhow::Result<()> {
    let answer = api.send(&operation.method, asked, true).await?;
    let fits = match asked.expected {
        Expected::Taken => answer.status < 300,
        Expected::Refused => (400..500).contains(&answer.status),
        Expected::Either => answer.status < 500,
    };
    let mut wrong = api.disagreement(operation, &answer)?;
    if !fits {
        wrong = Some(format!("{:?} was expected", asked.expected));
    }
    if let Some(wrong) = wrong {
        let body = String::from_utf8_lossy(&asked.body);
        findings.push(format!(
            "{} {} {:?} {}\n    {wrong}\n    {}",
            operation.method,
            asked.path,
            asked.headers,
            body.chars().take(300).collect::<String>(),
            answer.text()
        ));
    }
    Ok(())
}

#[tokio::test]
async fn the_server_answers_as_its_document_says() -> anyhow::Result<()> {
    let (_provider, gateway) = node().await?;
    let mut api = Api::of(&gateway).await?;
    let mut findings = Vec::new();
    let mut sent = 0;
    let operations = api.operations();
    ensure!(operations.len() > 30, "{} operations", operations.len());
    for operation in &operations {
        let valid = api.valid(operation)?;
        let is_open = !operation.template.starts_with("/admin");
        if !is_open {
            let answer = api.send(&operation.method, &valid, false).await?;
            if answer.status != 401 {
                findings.push(format!(
                    "{} without a token: {}",
                    operation.id(),
                    answer.text()
                ));
            }
        }
        let mut all = api.broken_heads(operation, &valid);
        all.extend(api.broken_bodies(operation, &valid)?);
        let mut valid = valid;
        // Only one version ever served: there is nothing to go back to, or there is.
        if operation.id() == "roll-back" {
            valid.expected = Expected::Either;
        }
        if operation.takes("Idempotency-Key") && operation.method != "DELETE" {
            let once = format!("Idempotency-Key: once-{}", operation.id());
            let headers = [valid.headers.clone(), vec![once]].concat();
            let once = Asked {
                headers,
                ..valid.clone()
            };
            all.extend([once.clone(), once]);
        }
        all.push(valid);
        for asked in &all {
            check(&mut api, operation, asked, &mut findings).await?;
        }
        sent += all.len();
    }
    ensure!(sent > 500, "only {sent} requests were made");
    ensure!(
        findings.is_empty(),
        "{} of {sent}:\n{}",
        findings.len(),
        findings.join("\n")
    );
    Ok(())
}
