//! Vectors of text: there before a step is called, asked for once, paid for once, and missing where they cannot be had.

use std::time::Duration;

use pointsman_domain::Picos;
use pointsman_domain::decision::{Closed, EmbeddingRecord, Outcome};
use pointsman_domain::usage::Amount;
use pointsman_e2e::budgets::{a_day, accountant, closed, differences, put, settled, sums};
use pointsman_e2e::{policy, says, step};
use pointsman_harness::{Gateway, GatewayOptions, Provider, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Pico-dollars of a token whose vector is computed: $20 a million.
const PICOS: i128 = 20_000_000;
/// What `contains` matches of a call for vectors.
const VECTORS: &str = "encoding_format";

struct Near {
    provider: Provider,
    gateway: Gateway,
    _catalogue: TempDir,
}

impl Near {
    /// A router that goes by vectors, over the candidates `chat` and `code`; a third target computes them.
    async fn start() -> anyhow::Result<Self> {
        let provider = Provider::start().await?;
        let endpoint = provider.endpoint();
        let grants = "grants = [\"embedding\"]\ndata = [\"code.txt\", \"chat.txt\"]";
        let near = step(
            "near",
            "route",
            "pointsman-guest-near@0.1",
            "fallback",
            grants,
        );
        let steps = format!(
            "{}\n{near}\n[[target]]\nname = \"vectors\"\nkind = \"openai-compatible\"\nendpoint = \"{endpoint}\"\nmodel = \"vec\"\nprice = \"test/vec\"\n[embedding]\ntarget = \"vectors\"\ntimeout-ms = 5000\n",
            accountant()
        );
        let target = "model = \"fake\"";
        let bundle = policy("test", &[("chat", &endpoint), ("code", &endpoint)], &steps)
            .replace(target, &format!("{target}\nprice = \"test/fake\""))?
            .with("code.txt", "write code in rust")
            .with("chat.txt", "tell a story");
        let catalogue = tempfile::tempdir()?;
        let prices = catalogue.path().join("prices.jsonl");
        let row = |model: &str, usd: Value| json!({"provider": "test", "model": model, "usd_per_mtok": usd});
        let rows = [
            row("fake", json!({"in": 10, "out": 200})),
            row("vec", json!({"in": 20})),
        ];
        std::fs::write(&prices, rows.map(|row| format!("{row}\n")).concat())?;
        let mut options = GatewayOptions::serving(bundle, &[provider.authority()]);
        options.guests = true;
        options.settings = json!({ "prices": prices });
        Ok(Self {
            gateway: Gateway::start(options).await?,
            provider,
            _catalogue: catalogue,
        })
    }

    /// Who answered, and how the record ends.
    async fn ask(&self, text: &str) -> anyhow::Result<(u16, String, Closed)> {
        let reply = self.gateway.client("demo")?.chat(&says(text)).await?;
        let by = reply.header("x-pointsman-target").unwrap_or_default();
        let id = reply.header("x-pointsman-request-id").expect("an id");
        let told = self.gateway.why(id).await?;
        let closed = serde_json::from_value(told["closed"].clone())?;
        Ok((reply.status, by.to_owned(), closed))
    }

    /// The models that were called, by path.
    async fn called(&self, path: &str) -> anyhow::Result<Vec<String>> {
        let ledger = self.provider.ledger().await?;
        let rows = ledger["requests"].as_array().into_iter().flatten();
        let rows = rows.filter(|row| row["path"] == path);
        Ok(rows
            .filter_map(|row| Some(row["model"].as_str()?.to_owned()))
            .collect())
    }
}

fn only(closed: &Closed) -> &EmbeddingRecord {
    assert_eq!(closed.embeddings.len(), 1, "{:?}", closed.embeddings);
    &closed.embeddings[0]
}

fn lines(closed: &Closed) -> Picos {
    assert!(!closed.unpriced, "{:?}", closed.cost);
    let picos = closed.cost.iter().map(|line| match line.amount {
        Amount::Exact(picos) | Amount::Estimated(picos) => picos,
        Amount::Unpriced => Picos(0),
    });
    picos.sum()
}

#[tokio::test]
async fn vectors_route_cost_once_and_are_no_candidates() -> anyhow::Result<()> {
    let near = Near::start().await?;
    let (status, by, first) = near.ask("please write rust code").await?;
    assert_eq!((status, by.as_str()), (200, "code"));
    let told = only(&first);
    assert_eq!(
        (&*told.step, &*told.target, &*told.model),
        ("near", "vectors", "vec")
    );
    assert_eq!((told.texts, told.cached, &told.failure), (3, 0, &None));
    let paid = Picos(PICOS * i128::from(told.tokens));
    assert!(told.tokens > 0 && !told.estimated, "{told:?}");
    assert_eq!(told.amount, Some(Amount::Exact(paid)));
    assert_eq!(first.cost_pico_usd, lines(&first) + paid);
    assert_eq!(first.charged_pico_usd, first.cost_pico_usd);

    let (_, by, again) = near.ask("please write rust code").await?;
    assert_eq!(by, "code");
    assert_eq!(
        (only(&again).texts, only(&again).cached, only(&again).amount),
        (3, 3, None)
    );
    assert_eq!(again.cost_pico_usd, lines(&again));
    let (_, by, other) = near.ask("tell us a story").await?;
    assert_eq!(by, "chat");
    assert_eq!((only(&other).texts, only(&other).cached), (3, 2));

    assert_eq!(near.called("/v1/embeddings").await?, ["vec", "vec"]);
    assert_eq!(near.called("/v1/chat/completions").await?, ["fake"; 3]);
    let gateway = &near.gateway;
    let sample = "pointsman_embeddings_total{target=\"vectors\",outcome=\"cached\"}";
    assert_eq!(gateway.metric(sample).await?, Some(1.0));
    assert_eq!(
        differences(&settled(gateway).await?, &sums(&closed(gateway)?)),
        [""; 0]
    );
    Ok(())
}

#[tokio::test]
async fn a_vector_that_cannot_be_had_is_missing_and_the_record_says_why() -> anyhow::Result<()> {
    let near = Near::start().await?;
    let odd = json!({"data": [], "usage": {"prompt_tokens": 5}});
    let script = json!({"answers": [
        {"match": {"contains": VECTORS}, "status": 500},
        {"match": {"contains": VECTORS}, "body": odd},
    ]});
    near.provider.script(&script).await?;
    let (status, by, failed) = near.ask("write code in rust").await?;
    assert_eq!((status, by.as_str()), (200, "chat"), "the default plan");
    assert_eq!(only(&failed).failure.as_deref(), Some("status"));
    assert_eq!((only(&failed).tokens, only(&failed).amount), (0, None));
    // What it says that it read is paid for, though its vectors are none.
    let (_, by, odd) = near.ask("write code in rust").await?;
    assert_eq!(by, "chat");
    assert_eq!(only(&odd).failure.as_deref(), Some("answer"));
    assert_eq!(only(&odd).amount, Some(Amount::Exact(Picos(5 * PICOS))));
    assert_eq!(odd.cost_pico_usd, lines(&odd) + Picos(5 * PICOS));

    // A caller that leaves cancels it, and pays what may be billed.
    let slow =
        json!({"answers": [{"match": {"contains": VECTORS}, "delays": {"headers-ms": 4000}}]});
    near.provider.script(&slow).await?;
    let client = near.gateway.client("demo")?;
    let body = says("write code in rust");
    let leaves = tokio::time::timeout(Duration::from_millis(500), client.chat(&body));
    assert!(leaves.await.is_err());
    let mut left = None;
    eventually("the caller's leaving is recorded", async || {
        let all = closed(&near.gateway).unwrap_or_default();
        left = all
            .into_iter()
            .find(|closed| closed.outcome == Outcome::Cancelled);
        left.is_some()
    })
    .await?;
    let left = left.expect("it is recorded");
    assert_eq!(only(&left).failure.as_deref(), Some("cancelled"));
    assert!(matches!(only(&left).amount, Some(Amount::Estimated(picos)) if picos > Picos(0)));

    // Without money nobody is asked.
    let asked = near.called("/v1/embeddings").await?.len();
    put(&near.gateway, a_day("0")).await?;
    let (status, _, broke) = near.ask("write code in rust").await?;
    assert_eq!(status, 429);
    assert_eq!(only(&broke).failure.as_deref(), Some("budget-day"));
    assert_eq!(near.called("/v1/embeddings").await?.len(), asked);
    let gateway = &near.gateway;
    assert_eq!(
        differences(&settled(gateway).await?, &sums(&closed(gateway)?)),
        [""; 0]
    );
    Ok(())
}
