//! A misbehaving plugin is a recorded fault and its step's on-fault, nothing more. The whole matrix, with memory over
//! ten thousand faults, is `cargo xtask prove faults`.

use pointsman_e2e::faults::{Combination, Field};
use pointsman_e2e::says;

#[tokio::test]
async fn every_guest_in_every_role_with_every_on_fault() -> anyhow::Result<()> {
    let field = Field::start().await?;
    for combination in Combination::all() {
        field.check(&combination).await?;
        let reply = field.clean()?.chat(&says("x")).await?;
        assert_eq!(reply.status, 200, "after {combination}: {}", reply.text());
    }
    Ok(())
}
