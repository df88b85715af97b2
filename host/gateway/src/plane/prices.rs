//! The price catalogue.

use std::sync::Arc;

use anyhow::Context as _;
use pointsman_control::{By, Done, PlaneError};
use pointsman_domain::control::{Change, Prices};
use pointsman_policy::prices::Catalogue;
use pointsman_store::State;

use super::{Make, Plane, Step, invalid, unavailable};
use crate::pipeline::epoch_ms;

/// Bytes of a price catalogue.
const PRICES_BYTES_MAX: usize = 16 << 20;

impl Plane {
    pub(super) fn prices_view(&self) -> Result<Option<(Prices, String)>, PlaneError> {
        let Some(prices) = self.state().prices else {
            return Ok(None);
        };
        let bytes = self
            .store()?
            .blob(&prices.blob)
            .map_err(|error| unavailable(&error))?;
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|_| PlaneError::Internal("the price catalogue is not UTF-8".to_owned()))?;
        Ok(Some((Prices::clone(&prices), text)))
    }

    pub(super) fn take_prices(&self, by: &By, text: &str) -> Result<Done<Prices>, PlaneError> {
        if text.len() > PRICES_BYTES_MAX {
            return Err(PlaneError::TooLarge(format!(
                "a price catalogue may have {PRICES_BYTES_MAX} bytes"
            )));
        }
        let catalogue = Catalogue::parse("prices.jsonl", text)
            .context("the price catalogue is refused; nothing was changed")
            .map_err(|error| invalid(&error))?;
        let blob = self
            .store()?
            .put_blob(text.as_bytes())
            .map_err(|error| unavailable(&error))?;
        let prices = Prices {
            digest: catalogue.digest(),
            blob,
            rows: catalogue.len() as u64,
            put_ms: epoch_ms(),
        };
        let priced = |state: &State| {
            let mut state = state.clone();
            state.prices = Some(Arc::new(prices.clone()));
            state
        };
        // Aside: every active policy under the new prices.
        let kept_warm = self.all_on(&priced(&self.state()))?;
        let change = self.change(by, |state| {
            let tag = state.prices.as_ref().map(|known| known.digest.to_string());
            by.check("the price catalogue", tag.as_deref())?;
            if let Some(known) = &state.prices
                && known.digest == prices.digest
            {
                return Ok(Step::Already(Prices::clone(known)));
            }
            let policies = self.all_on(&priced(state))?;
            let make = Make::of(Change::PricesPut(prices.clone()), prices.clone());
            Ok(Make { policies, ..make }.into())
        })?;
        drop(kept_warm);
        Ok(change.done)
    }
}
