//! ZoneOutage: a data center is cut off by its router, for a time that the kernel keeps.

use crate::{ActiveFault, EndError, InjectError, Injector, Kind};
use futures::future::BoxFuture;
use std::time::{Duration, Instant};

/// Measures whether packets cross the border of a data center. The caller knows how.
pub trait Reachability: Send + Sync {
    /// One measurement in each direction across the border of `data_center`.
    fn measure<'a>(&'a self, data_center: &'a str) -> BoxFuture<'a, Reached>;
}

/// What one attempt to cross a border shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crossing {
    /// It was crossed.
    Reached,
    /// Who was asked to cross it could not, and says why.
    Blocked(String),
    /// Nobody could be asked, which proves nothing.
    Unknown(String),
}

impl std::fmt::Display for Crossing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reached => f.write_str("reached"),
            Self::Blocked(why) => f.write_str(why),
            Self::Unknown(why) => write!(f, "unknown ({why})"),
        }
    }
}

/// One measurement across the border of a data center.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// From inside to outside.
    pub outwards: Crossing,
    /// From outside to inside.
    pub inwards: Crossing,
}

impl Reached {
    /// Both directions work.
    #[must_use]
    pub fn both(&self) -> bool {
        self.outwards == Crossing::Reached && self.inwards == Crossing::Reached
    }

    /// No direction works: both were tried, and blocked.
    #[must_use]
    pub fn neither(&self) -> bool {
        matches!(self.outwards, Crossing::Blocked(_))
            && matches!(self.inwards, Crossing::Blocked(_))
    }
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "outwards {}, inwards {}", self.outwards, self.inwards)
    }
}

/// How many measurements in a row count.
const IN_A_ROW: usize = 2;
/// How often is measured before a cut: on a machine that is busy one attempt may take too long, and says nothing of the border.
const BEFORE: usize = 10;
/// What is told where nothing has been measured.
const NOTHING: &str = "nothing was measured";

impl Injector {
    /// Cuts `data_center` off for `duration` and measures that nothing crosses its border: before, two measurements in
    /// a row, of ten at most, reach in both directions; afterwards, two in a row reach in neither.
    ///
    /// # Errors
    ///
    /// When the border cannot be crossed before, the cluster does not cut it, or something still crosses it (then
    /// the rule is removed again).
    pub async fn cut_zone(
        &self,
        data_center: &str,
        duration: Duration,
        reachability: &dyn Reachability,
    ) -> Result<ActiveFault, InjectError> {
        let mut tries = 0..BEFORE;
        let mut before = NOTHING.to_owned();
        let may_go_on = || tries.next().is_some();
        let crossed = in_a_row(
            data_center,
            reachability,
            Reached::both,
            may_go_on,
            &mut before,
        );
        if !crossed.await {
            return Err(InjectError::NotReachableBefore(never(data_center, &before)));
        }
        let number = self
            .ledger
            .begin(
                format!("cut off {data_center}"),
                Some(data_center.to_owned()),
                u64::try_from(duration.as_millis()).ok(),
            )
            .map_err(InjectError::Ledger)?;
        if let Err(source) = self.clusters.cut_zone(data_center, duration).await {
            self.heal(number, data_center).await;
            return Err(InjectError::Cut {
                data_center: data_center.to_owned(),
                source,
            });
        }
        let ends = Instant::now() + duration;
        // Packets under way and open connections may still get through once.
        let mut after = NOTHING.to_owned();
        let may_go_on = || Instant::now() < ends;
        let cut = in_a_row(
            data_center,
            reachability,
            Reached::neither,
            may_go_on,
            &mut after,
        );
        if !cut.await {
            self.heal(number, data_center).await;
            return Err(InjectError::WithoutEffect(never(data_center, &after)));
        }
        Ok(ActiveFault {
            number,
            efficacy: format!("across the border of {data_center}: before {before}; after {after}"),
            kind: Kind::ZoneOutage {
                data_center: data_center.to_owned(),
                ends,
            },
        })
    }

    /// Drops the rule early. When that fails the fault stays in the ledger, and the kernel's timer heals.
    async fn heal(&self, number: u64, data_center: &str) {
        match self.clusters.heal_zone(data_center).await {
            Ok(()) => self.ledger.cross_out(number),
            Err(error) => {
                tracing::warn!(data_center, %error, "cannot heal early; the kernel's timer will")
            }
        }
    }
}

/// Measures until measurements in a row say so, for as long as it may go on; whether they did. `last` is what the last one told.
async fn in_a_row(
    data_center: &str,
    reachability: &dyn Reachability,
    says: impl Fn(&Reached) -> bool,
    mut may_go_on: impl FnMut() -> bool,
    last: &mut String,
) -> bool {
    let mut in_a_row = 0;
    while in_a_row < IN_A_ROW && may_go_on() {
        let reached = reachability.measure(data_center).await;
        in_a_row = if says(&reached) { in_a_row + 1 } else { 0 };
        *last = reached.to_string();
    }
    in_a_row == IN_A_ROW
}

/// Why a cut is not made, or does not count.
fn never(data_center: &str, last: &str) -> String {
    format!(
        "across the border of {data_center}, not {IN_A_ROW} times in a row; the last time: {last}"
    )
}

/// Waits for the kernel's timer, then until the border can be crossed in both directions twice in a row.
pub(crate) async fn wait_for_end(
    data_center: &str,
    ends: Instant,
    reachability: &dyn Reachability,
    patience: Duration,
) -> Result<(), EndError> {
    // `sleep_until` and not a poll: the kernel's timer is the event, and it tells nobody.
    tokio::time::sleep_until(ends.into()).await;
    let mut last = NOTHING.to_owned();
    let crossed = in_a_row(data_center, reachability, Reached::both, || true, &mut last);
    let in_time = tokio::time::timeout(patience, crossed).await.is_ok();
    if in_time {
        Ok(())
    } else {
        Err(EndError::StillCut {
            data_center: data_center.to_owned(),
            seconds: patience.as_secs(),
            last,
        })
    }
}
