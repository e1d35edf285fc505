//! What is assigned on every path to a state, which states a path can reach, and which states lie on a loop.

use std::collections::{BTreeMap, BTreeSet};

use journeys::machine::{Machine, State};

/// The variables that every path to each state has assigned, by state name.
///
/// Branches read the variables of the machine around them, and leave none behind. Definite assignment: begins with
/// everything everywhere, and takes away until nothing changes.
pub(crate) fn assigned(machines: &[Machine]) -> BTreeMap<String, BTreeSet<String>> {
    let all: BTreeSet<String> = machines
        .iter()
        .flat_map(|machine| machine.states.values())
        .flat_map(State::edges)
        .flat_map(|edge| edge.assign.into_iter().flat_map(|assign| assign.keys().cloned()))
        .collect();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for machine in machines {
        let outer = match &machine.parent {
            Some((parent, _)) => known.get(parent).cloned().unwrap_or_default(),
            None => BTreeSet::new(),
        };
        let mut inside: BTreeMap<String, BTreeSet<String>> =
            machine.states.keys().map(|name| (name.clone(), all.clone())).collect();
        inside.insert(machine.start.clone(), outer);
        let mut changed = true;
        while changed {
            changed = false;
            for state in machine.states.values() {
                let before = inside.get(&state.name).cloned().unwrap_or_default();
                for edge in state.edges() {
                    let assigns = edge.assign.into_iter().flat_map(|assign| assign.keys().cloned());
                    let after: BTreeSet<String> = before.iter().cloned().chain(assigns).collect();
                    let there = inside.entry(edge.to.to_owned()).or_default();
                    let both: BTreeSet<String> = there.intersection(&after).cloned().collect();
                    changed |= both != *there;
                    *there = both;
                }
            }
        }
        known.extend(inside);
    }
    known
}

/// The states that a path from `from` reaches (itself included) without entering one of `without`.
pub(crate) fn reached(machine: &Machine, from: &str, without: &BTreeSet<String>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut left = vec![from.to_owned()];
    while let Some(name) = left.pop() {
        if without.contains(&name) || !seen.insert(name.clone()) {
            continue;
        }
        let edges = machine.states.get(&name).map(State::edges).unwrap_or_default();
        left.extend(edges.into_iter().map(|edge| edge.to.to_owned()));
    }
    seen
}

/// The states that lie on a loop which enters none of `without`.
pub(crate) fn looping(machine: &Machine, without: &BTreeSet<String>) -> BTreeSet<String> {
    let on_loop = |state: &&State| {
        !without.contains(&state.name)
            && state.edges().iter().any(|edge| reached(machine, edge.to, without).contains(&state.name))
    };
    machine.states.values().filter(on_loop).map(|state| state.name.clone()).collect()
}
