//! A short form of `cargo xtask prove isolation`.

use pointsman_e2e::isolation::memory;

#[tokio::test]
async fn no_plugin_remembers_another_tenant_or_version() -> anyhow::Result<()> {
    assert_eq!(memory::run().await?, Vec::<String>::new());
    Ok(())
}
