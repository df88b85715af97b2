//! What is told of an activation or a rollback: a log line, and the metrics of the node where there is one.

use std::sync::Arc;
use std::time::Instant;

use pointsman_control::api::Activated;
use pointsman_control::{By, Done, PlaneError};
use pointsman_telemetry::Metrics;

use super::Plane;

impl Plane {
    /// Activations are counted here from now on.
    pub(crate) fn count_in(&self, metrics: Arc<Metrics>) {
        let _the_first_counts = self.metrics.set(metrics);
    }

    /// Runs an activation and tells of it. What was so already, or is an earlier call's, is none.
    pub(super) fn told(
        &self,
        by: &By,
        name: &str,
        rollback: bool,
        switch: impl FnOnce() -> Result<Done<Activated>, PlaneError>,
    ) -> Result<Done<Activated>, PlaneError> {
        let began = Instant::now();
        let done = switch()?;
        if let Done::Ok(activated) | Done::Created(activated) = &done
            && let Some(live_us) = activated.commit_to_live_us.filter(|us| *us > 0)
        {
            let total_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            if let Some(metrics) = self.metrics.get() {
                metrics.activated(name, activated.version, total_us);
            }
            tracing::info!(
                policy = name,
                version = activated.version,
                previous = activated.previous,
                generation = activated.generation,
                rollback,
                actor = %by.actor,
                live_us,
                total_us,
                "a version serves"
            );
        }
        Ok(done)
    }
}
