//! What a figure of now is beside its baseline and its limit.

use serde_json::{Value, json};

/// How a figure compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Within the noise.
    Alike,
    /// Better than noise explains: the baseline should follow.
    Better,
    /// Worse than noise explains.
    Worse,
    /// A time, and no baseline is of this kind of machine.
    OtherMachine,
    /// The bench did not give it.
    Missing,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Alike => "alike",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::OtherMachine => "other machine",
            Self::Missing => "missing",
        }
    }

    const fn is_fine(self) -> bool {
        !matches!(self, Self::Worse | Self::Missing)
    }
}

/// How a figure stands to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// It has none, or keeps it, or nobody can say.
    Kept,
    /// It is over what it may be at most.
    Over,
    /// It is under what it must be at least.
    Under,
}

impl Limit {
    const fn words(self) -> Option<&'static str> {
        match self {
            Self::Kept => None,
            Self::Over => Some("over its limit"),
            Self::Under => Some("under its limit"),
        }
    }

    const fn is_fine(self) -> bool {
        matches!(self, Self::Kept)
    }
}

/// One figure of the baseline.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) bench: String,
    pub(super) figure: String,
    pub(super) baseline: f64,
    /// The share by which it differs from run to run on a machine that others use too: 0.3 is 30 %.
    pub(super) noise: f64,
    /// What it may be, whatever it was before.
    pub(super) allowed: Allowed,
}

/// Which figures are good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Allowed {
    /// Less is better.
    Any,
    /// Less is better, and this is the limit.
    AtMost(f64),
    /// More is better, and this is the limit.
    AtLeast(f64),
}

impl Allowed {
    const fn most(self) -> Option<f64> {
        match self {
            Self::AtMost(most) => Some(most),
            Self::Any | Self::AtLeast(_) => None,
        }
    }

    const fn least(self) -> Option<f64> {
        match self {
            Self::AtLeast(least) => Some(least),
            Self::Any | Self::AtMost(_) => None,
        }
    }
}

/// A figure of the baseline, and what became of it.
pub(super) struct Compared {
    pub(super) bound: Bound,
    pub(super) measured: Option<f64>,
    pub(super) state: State,
    pub(super) limit: Limit,
}

impl Compared {
    /// `counts`: it does not follow from how fast a machine is, or this one is of the baseline's kind.
    pub(super) fn of(bound: &Bound, measured: Option<f64>, counts: bool) -> Self {
        let (state, limit) = match measured {
            None => (State::Missing, Limit::Kept),
            Some(value) if !counts => (State::OtherMachine, limit(bound.allowed, value)),
            Some(value) => (judge(bound, value), limit(bound.allowed, value)),
        };
        Self {
            bound: bound.clone(),
            measured,
            state,
            limit,
        }
    }

    pub(super) const fn is_fine(&self) -> bool {
        self.state.is_fine() && self.limit.is_fine()
    }

    pub(super) fn line(&self) -> String {
        let bound = &self.bound;
        let shown = self
            .measured
            .map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        let mut line = format!(
            "{:13} {:40} {shown:>10}  baseline {:.3} ± {:.0} %",
            bound.bench,
            bound.figure,
            bound.baseline,
            bound.noise * 100.0,
        );
        match bound.allowed {
            Allowed::Any => {}
            Allowed::AtMost(most) => line += &format!(", at most {most}"),
            Allowed::AtLeast(least) => line += &format!(", at least {least}"),
        }
        line += "  ";
        line += self.state.word();
        if let Some(words) = self.limit.words() {
            line += ", ";
            line += words;
        }
        line
    }

    pub(super) fn document(&self) -> Value {
        json!({
            "bench": self.bound.bench,
            "figure": self.bound.figure,
            "baseline": self.bound.baseline,
            "noise": self.bound.noise,
            "most": self.bound.allowed.most(),
            "least": self.bound.allowed.least(),
            "measured": self.measured,
            "state": self.state.word(),
            "limit": self.limit.words(),
        })
    }
}

fn judge(bound: &Bound, value: f64) -> State {
    let above = value > bound.baseline * (1.0 + bound.noise);
    let below = value < bound.baseline / (1.0 + bound.noise);
    let more_is_better = matches!(bound.allowed, Allowed::AtLeast(_));
    match (above, below) {
        (false, false) => State::Alike,
        (above, _) if above == more_is_better => State::Better,
        _ => State::Worse,
    }
}

/// Noise is no excuse here, nor is another machine.
fn limit(allowed: Allowed, value: f64) -> Limit {
    match allowed {
        Allowed::AtMost(most) if value > most => Limit::Over,
        Allowed::AtLeast(least) if value < least => Limit::Under,
        _ => Limit::Kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound() -> Bound {
        Bound {
            bench: "run".to_owned(),
            figure: "seconds".to_owned(),
            baseline: 100.0,
            noise: 0.25,
            allowed: Allowed::Any,
        }
    }

    fn limited(baseline: f64, most: f64) -> Bound {
        Bound {
            baseline,
            allowed: Allowed::AtMost(most),
            ..bound()
        }
    }

    #[test]
    fn only_what_noise_does_not_explain_is_worse() {
        let judged = |value| judge(&bound(), value);
        assert_eq!(judged(125.0), State::Alike);
        assert_eq!(judged(125.1), State::Worse);
        assert_eq!(judged(80.0), State::Alike);
        assert_eq!(judged(79.9), State::Better);
        assert!(!State::Missing.is_fine() && State::OtherMachine.is_fine());
    }

    #[test]
    fn what_is_over_its_limit_fails_though_noise_would_explain_it() {
        let compared = |bound: &Bound, value| Compared::of(bound, Some(value), true);
        let kept = compared(&limited(100.0, 110.0), 110.0);
        assert!(kept.is_fine() && kept.limit == Limit::Kept);
        assert!(
            kept.line().ends_with(", at most 110  alike"),
            "{}",
            kept.line()
        );
        let over = compared(&limited(100.0, 110.0), 111.0);
        assert_eq!((over.state, over.limit), (State::Alike, Limit::Over));
        assert!(!over.is_fine());
        assert!(
            over.line().ends_with("alike, over its limit"),
            "{}",
            over.line()
        );
        assert_eq!(over.document()["limit"], "over its limit");
        let both = compared(&limited(100.0, 110.0), 200.0);
        assert_eq!((both.state, both.limit), (State::Worse, Limit::Over));
    }

    #[test]
    fn of_what_is_good_when_there_is_much_less_is_worse() {
        let bound = Bound {
            allowed: Allowed::AtLeast(70.0),
            ..bound()
        };
        let judged = |value| judge(&bound, value);
        assert_eq!(judged(125.1), State::Better);
        assert_eq!(judged(80.0), State::Alike);
        assert_eq!(judged(79.9), State::Worse);
        let elsewhere = |value| Compared::of(&bound, Some(value), false);
        assert!(elsewhere(70.0).is_fine());
        let under = elsewhere(69.9);
        assert!(!under.is_fine() && under.limit == Limit::Under);
        let words = ", at least 70  other machine, under its limit";
        assert!(under.line().ends_with(words), "{}", under.line());
        assert_eq!(under.document()["least"], 70.0);
        assert!(under.document()["most"].is_null());
    }

    #[test]
    fn a_time_of_another_machine_is_held_to_the_limit_alone_and_what_is_missing_to_none() {
        let bound = limited(100.0, 110.0);
        let elsewhere = |value| Compared::of(&bound, Some(value), false);
        assert!(elsewhere(20.0).is_fine() && elsewhere(20.0).state == State::OtherMachine);
        assert!(!elsewhere(111.0).is_fine() && elsewhere(111.0).limit == Limit::Over);
        let as_there = Compared::of(&limited(120.0, 110.0), Some(115.0), true);
        assert!(!as_there.is_fine(), "no baseline excuses it");
        let missing = Compared::of(&bound, None, true);
        assert!(!missing.is_fine() && missing.limit == Limit::Kept);
    }
}
