//! Lists of sidecars in few words.

use std::collections::{BTreeMap, BTreeSet};

/// How many parts of a list are told before the rest is counted.
const SHOWN: usize = 6;

/// The sidecars of a list, sorted, in as few words as are true: `*@zone-b` where everybody of a data center is in it,
/// `checkout@*` where everybody of an application is. `everybody` are all who were there; without them each is named.
#[must_use]
pub fn in_short(sidecars: &[String], everybody: &[String]) -> String {
    let mut left: BTreeSet<&str> = sidecars.iter().map(String::as_str).collect();
    let all: BTreeSet<&str> = everybody.iter().map(String::as_str).collect();
    if all.len() > 1 && all.is_subset(&left) {
        return "every sidecar".to_owned();
    }
    let mut parts = Vec::new();
    for (data_center, members) in groups(&all, |(_, data_center)| data_center) {
        if members.len() > 1 && members.is_subset(&left) {
            left.retain(|name| !members.contains(name));
            parts.push(format!("*@{data_center}"));
        }
    }
    for (application, members) in groups(&all, |(application, _)| application) {
        if members.len() > 1 && members.is_subset(&left) {
            left.retain(|name| !members.contains(name));
            parts.push(format!("{application}@*"));
        }
    }
    parts.extend(left.into_iter().map(str::to_owned));
    let more = parts.len().saturating_sub(SHOWN);
    parts.truncate(SHOWN);
    let mut words = parts.join(", ");
    if more > 0 {
        words.push_str(&format!(" and {more} more"));
    }
    words
}

fn groups<'a>(
    names: &BTreeSet<&'a str>,
    of: impl Fn((&'a str, &'a str)) -> &'a str,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in names {
        if let Some((application, place)) = name.split_once('@') {
            // The further pods of a workload have a number behind its name.
            let data_center = place.split_once('#').map_or(place, |(place, _)| place);
            groups
                .entry(of((application, data_center)))
                .or_default()
                .insert(name);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_list_is_sorted_and_grouped_where_that_is_true() {
        let everybody = names("a@z1 b@z1 a@z2 b@z2 b@z2#2 a@z3");
        for (list, said) in [
            ("b@z2 a@z2 b@z2#2", "*@z2"),
            ("b@z2 a@z2 b@z2#2 a@z1", "*@z2, a@z1"),
            ("a@z2 a@z1 a@z3", "a@*"),
            ("b@z2 a@z1", "a@z1, b@z2"),
            ("b@z1 b@z2", "b@z1, b@z2"),
            ("a@z1 b@z1 a@z2 b@z2 b@z2#2 a@z3", "every sidecar"),
            ("", ""),
        ] {
            assert_eq!(in_short(&names(list), &everybody), said, "{list}");
        }
    }

    #[test]
    fn who_was_there_is_not_guessed_and_many_are_counted() {
        assert_eq!(in_short(&names("b@z a@z"), &[]), "a@z, b@z");
        let many: Vec<String> = (1..=9).map(|number| format!("a@z{number}")).collect();
        assert_eq!(
            in_short(&many, &[]),
            "a@z1, a@z2, a@z3, a@z4, a@z5, a@z6 and 3 more"
        );
    }
}
