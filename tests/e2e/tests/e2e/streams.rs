//! A short form of `cargo xtask prove streams`.

use pointsman_e2e::streams::matrix::{Matrix, Told};
use pointsman_e2e::streams::property;
use pointsman_e2e::streams::shapes::Shape;

#[tokio::test]
async fn no_cut_of_any_shape_lets_a_secret_through() -> anyhow::Result<()> {
    let matrix = Matrix::start().await?;
    let mut told = Told::default();
    for shape in Shape::ALL {
        matrix.shape(shape, 13, &mut told).await?;
    }
    // Longer than the guards hold a byte.
    matrix.stalls(2_500, 5, &mut told).await?;
    matrix.decisions(&mut told).await?;
    assert!(told.wrong.is_empty(), "{:#?}", told.wrong);
    assert!(told.count() > 200, "{:?}", told.streams);
    Ok(())
}

#[test]
fn random_streams_arrive_as_the_masked_whole_and_in_time() {
    for seed in 0..800 {
        property::run(seed).expect("every seed holds");
    }
}
