//! Steps that keep faulting for a tenant rest for a while: their on-fault applies without running them.
//!
//! Promises: one tenant's faults trip the step for that tenant alone; after the rest one call tries it, and the others
//! wait for what becomes of it; a step that never faulted costs one look at a counter.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pointsman_domain::FaultKind;

use crate::call::Tenant;
use crate::fault::Cause;
use crate::limits::{StepLimits, TRIP_TENANTS_MAX};

/// What is known of one tenant's faults.
#[derive(Debug, Default)]
struct Faults {
    /// When the last ones were, at most as many as trip.
    times: VecDeque<u64>,
    tripped: Option<Tripped>,
}

#[derive(Debug)]
struct Tripped {
    until_ms: u64,
    /// A call tries it.
    is_tried: bool,
}

/// The trips of one step.
#[derive(Debug)]
pub(crate) struct Trips {
    faults_max: usize,
    within_ms: u64,
    rest_ms: u64,
    /// Names the step in log lines.
    label: String,
    begun: Instant,
    /// Tenants in the map, to be looked at without the lock.
    known: AtomicUsize,
    tenants: Mutex<HashMap<Box<str>, Faults>>,
}

/// One call, that may run.
#[derive(Debug)]
pub(crate) struct Turn {
    trips: Arc<Trips>,
    tenant: Arc<dyn Tenant>,
    is_try: bool,
    is_settled: bool,
}

impl Trips {
    /// None where the limits let nothing trip.
    pub(crate) fn new(limits: &StepLimits, label: String) -> Option<Arc<Self>> {
        (limits.faults_max > 0).then(|| {
            Arc::new(Self {
                faults_max: limits.faults_max as usize,
                within_ms: u64::from(limits.faults_within_ms),
                rest_ms: u64::from(limits.trip_ms),
                label,
                begun: Instant::now(),
                known: AtomicUsize::new(0),
                tenants: Mutex::default(),
            })
        })
    }

    /// A call for a tenant begins, or is not to.
    pub(crate) fn begin(self: &Arc<Self>, tenant: &Arc<dyn Tenant>) -> Result<Turn, Cause> {
        let mut turn = Turn {
            trips: Arc::clone(self),
            tenant: Arc::clone(tenant),
            is_try: false,
            is_settled: false,
        };
        if self.known.load(Ordering::Acquire) == 0 {
            return Ok(turn);
        }
        let now_ms = self.now_ms();
        let mut tenants = self.lock();
        let tripped = tenants
            .get_mut(tenant.id())
            .and_then(|faults| faults.tripped.as_mut());
        match tripped {
            Some(tripped) if tripped.is_tried || now_ms < tripped.until_ms => {
                let (count, within_ms) = (self.faults_max, self.within_ms);
                let rest_ms = self.rest_ms;
                let detail = format!(
                    "not run: {count} faults within {within_ms} ms for this tenant; it rests for {rest_ms} ms"
                );
                Err(Cause::new(FaultKind::Tripped, detail))
            }
            Some(tripped) => {
                tripped.is_tried = true;
                turn.is_try = true;
                Ok(turn)
            }
            None => Ok(turn),
        }
    }

    /// The step faulted for a tenant; what a try found counts at once.
    pub(crate) fn faulted(&self, tenant: &str, is_try: bool) {
        let now_ms = self.now_ms();
        let mut tenants = self.lock();
        if !tenants.contains_key(tenant) {
            self.make_room(&mut tenants, now_ms);
            if tenants.len() >= TRIP_TENANTS_MAX {
                return;
            }
            tenants.insert(tenant.into(), Faults::default());
            self.known.store(tenants.len(), Ordering::Release);
        }
        let Some(faults) = tenants.get_mut(tenant) else {
            return;
        };
        let since_ms = now_ms.saturating_sub(self.within_ms);
        faults.times.retain(|time| *time >= since_ms);
        faults.times.push_back(now_ms);
        let trips = match &faults.tripped {
            // Calls that began before it tripped say nothing new.
            Some(_) => is_try,
            None => faults.times.len() >= self.faults_max,
        };
        if trips {
            faults.times.clear();
            faults.tripped = Some(Tripped {
                until_ms: now_ms.saturating_add(self.rest_ms),
                is_tried: false,
            });
            tracing::warn!(step = %self.label, tenant, rest_ms = self.rest_ms, "a step keeps faulting and rests");
        }
    }

    /// A try that found nothing wrong.
    fn recovered(&self, tenant: &str) {
        let mut tenants = self.lock();
        tenants.remove(tenant);
        self.known.store(tenants.len(), Ordering::Release);
        tracing::info!(step = %self.label, tenant, "a step that rested runs again");
    }

    /// A try that came to nothing leaves its place to another.
    fn given_up(&self, tenant: &str) {
        let mut tenants = self.lock();
        if let Some(tripped) = tenants.get_mut(tenant).and_then(|it| it.tripped.as_mut()) {
            tripped.is_tried = false;
        }
    }

    /// Forgets those whose faults are too old to count.
    fn make_room(&self, tenants: &mut HashMap<Box<str>, Faults>, now_ms: u64) {
        if tenants.len() < TRIP_TENANTS_MAX {
            return;
        }
        let since_ms = now_ms.saturating_sub(self.within_ms);
        tenants.retain(|_, faults| {
            faults.tripped.is_some() || faults.times.back().is_some_and(|time| *time >= since_ms)
        });
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Faults>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// What a long call did so far went well: enough for others to run.
    pub(crate) fn proved(&mut self) {
        if std::mem::take(&mut self.is_try) {
            self.trips.recovered(self.tenant.id());
        }
    }

    /// The call ended; with a fault of this kind, or without one.
    pub(crate) fn ended(mut self, fault: Option<FaultKind>) {
        match fault {
            // A node without room says nothing of the plugin.
            Some(FaultKind::Capacity | FaultKind::Tripped) => return,
            Some(_) => self.trips.faulted(self.tenant.id(), self.is_try),
            None if self.is_try => self.trips.recovered(self.tenant.id()),
            None => {}
        }
        self.is_settled = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_try && !self.is_settled {
            self.trips.given_up(self.tenant.id());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::call::Counted;

    #[derive(Debug)]
    struct Named(&'static str);

    impl Tenant for Named {
        fn id(&self) -> &str {
            self.0
        }

        fn count(&self, _: Counted, _: u32, _: u64) -> u64 {
            0
        }
    }

    fn tenant(id: &'static str) -> Arc<dyn Tenant> {
        Arc::new(Named(id))
    }

    fn trips(faults_max: u32, within_ms: u32, trip_ms: u32) -> Option<Arc<Trips>> {
        let limits = StepLimits {
            faults_max,
            faults_within_ms: within_ms,
            trip_ms,
            ..StepLimits::default()
        };
        Trips::new(&limits, "step".to_owned())
    }

    fn fault(trips: &Arc<Trips>, tenant: &Arc<dyn Tenant>, kind: FaultKind) {
        trips.begin(tenant).expect("runs").ended(Some(kind));
    }

    #[test]
    fn faults_of_one_tenant_trip_for_it_alone() {
        let trips = trips(3, 60_000, 60_000).expect("trips");
        let (one, other) = (tenant("one"), tenant("other"));
        fault(&trips, &one, FaultKind::Trap);
        fault(&trips, &one, FaultKind::Fuel);
        // What is not the plugin's doing does not count.
        fault(&trips, &one, FaultKind::Capacity);
        trips.begin(&one).expect("two are not enough").ended(None);
        fault(&trips, &one, FaultKind::Trap);
        let error = trips.begin(&one).expect_err("tripped");
        assert_eq!(error.kind, FaultKind::Tripped);
        trips.begin(&other).expect("runs for others").ended(None);
    }

    #[test]
    fn old_faults_do_not_count() {
        let trips = trips(2, 20, 60_000).expect("trips");
        let one = tenant("one");
        fault(&trips, &one, FaultKind::Trap);
        std::thread::sleep(Duration::from_millis(40));
        fault(&trips, &one, FaultKind::Trap);
        trips.begin(&one).expect("runs").ended(None);
    }

    #[test]
    fn after_the_rest_one_call_tries() {
        let trips = trips(1, 60_000, 30).expect("trips");
        let one = tenant("one");
        fault(&trips, &one, FaultKind::Trap);
        trips.begin(&one).expect_err("rests");
        std::thread::sleep(Duration::from_millis(50));
        let dropped = trips.begin(&one).expect("tries");
        trips.begin(&one).expect_err("one tries at a time");
        drop(dropped);
        fault(&trips, &one, FaultKind::Trap);
        trips.begin(&one).expect_err("rests again");
        std::thread::sleep(Duration::from_millis(50));
        let mut long = trips.begin(&one).expect("tries");
        long.proved();
        trips.begin(&one).expect("runs again").ended(None);
        long.ended(Some(FaultKind::Trap));
        trips.begin(&one).expect_err("the rest of it counts too");
    }

    #[test]
    fn nothing_trips_where_the_policy_says_so() {
        assert!(trips(0, 1, 1).is_none());
    }

    #[test]
    fn tenants_that_are_remembered_are_bounded() {
        let trips = trips(2, 60_000, 60_000).expect("trips");
        for index in 0..TRIP_TENANTS_MAX + 10 {
            trips.faulted(&format!("tenant-{index}"), false);
        }
        assert_eq!(trips.lock().len(), TRIP_TENANTS_MAX);
    }
}
