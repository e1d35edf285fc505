//! Carries decisions out: intent, groups, each interface through the conversion group, read back, and the door where a cut failed.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::config::Builder;
use futures_util::future;
use handler::{AwsError, Recorder, StoreError, failed};
use incident::evidence::InterfaceStatus;
use incident::plan::{CollectionPath, Plan};
use incident::record::{Change, ChangeResult};
use incident::risk::Risk;
use incident::{Fault, GroupId, InterfaceId, VpcId};
use serde_json::{Value, json};

use crate::around::Around;
use crate::decide::{Decision, Family, Group, GroupNeed, Keeper, Move, Need, Nic, Role, Rules, Scope, World, decide};
use crate::groups::{Ensured, allow_all, ensure, retire, retirement};
use crate::pace::modest;
use crate::records::{Attempt, change, intended, moved, rules_json};
use crate::verdict::status;
use crate::world::look;
use crate::{Clients, Error, around, tracking, ways};

/// How often a run looks again: for interfaces that appear meanwhile, and rules that come back.
const ROUNDS: usize = 3;

/// One run over the target: what it may do, and what it has done so far.
#[expect(clippy::struct_excessive_bools, reason = "five permissions, each independent of the others")]
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) clients: &'a Clients,
    pub(crate) plan: &'a Plan,
    pub(crate) recorder: Recorder,
    /// Contain: flows are made untracked first, and without an intent nothing is changed. Otherwise the door is being closed,
    /// which no bookkeeping may hold up.
    pub(crate) contain: bool,
    /// Whether the path for memory is kept open. Not where its group cannot be had as it must be.
    pub(crate) path: bool,
    /// Whether interfaces may leave groups that are not ours.
    pub(crate) own: bool,
    /// Whether `before.json` is there, as far as is known.
    pub(crate) saved: bool,
    /// Whether intents reach the case file.
    pub(crate) recording: bool,
    pub(crate) converted: BTreeSet<InterfaceId>,
    /// Interfaces that were cut without having been converted.
    pub(crate) tracked: BTreeSet<InterfaceId>,
    pub(crate) failures: Vec<AwsError>,
    pub(crate) reasons: Vec<String>,
    /// The intents that were written, and the changes made under each.
    pub(crate) done: Vec<(u32, Vec<Change>)>,
    /// The changes that have no intent, since the case file could not be written.
    pub(crate) unsaid: Vec<Change>,
    /// The ways on which flows stay tracked, once somebody has looked.
    pub(crate) around: Vec<Risk>,
}

/// The groups of one VPC, as far as they can be used.
#[derive(Debug, Default)]
struct Places {
    isolation: Option<GroupId>,
    collection: Option<GroupId>,
    conversion: Option<GroupId>,
}

/// What a decision led to.
#[derive(Debug, Default)]
struct Round {
    attempts: Vec<Attempt>,
    /// What was tried for collection groups: a failure here costs the memory, not the containment.
    collecting: Vec<Attempt>,
    /// The conversion groups that were used, by interface.
    doors: BTreeMap<InterfaceId, GroupId>,
}

/// What became of one interface.
#[derive(Debug)]
struct Way {
    /// The conversion group, where it was to go through one.
    converting: Option<(GroupId, Attempt)>,
    /// The collection group that did not take it.
    refused: Option<Attempt>,
    /// Where it ends.
    ending: Attempt,
}

impl<'a> Run<'a> {
    /// A run that may close, and nothing more.
    pub(crate) fn new(clients: &'a Clients, plan: &'a Plan, recorder: Recorder) -> Self {
        Self {
            clients,
            plan,
            recorder,
            contain: false,
            path: false,
            own: false,
            saved: true,
            recording: true,
            converted: BTreeSet::new(),
            tracked: BTreeSet::new(),
            failures: Vec::new(),
            reasons: Vec::new(),
            done: Vec::new(),
            unsaid: Vec::new(),
            around: ways::unread("", "nobody came to it"),
        }
    }
}

impl Run<'_> {
    /// Shortens connection tracking and, beside it, looks at what is around the target. The world as it was read back then,
    /// with the branches of its trunks.
    pub(crate) async fn finish(&mut self, now: Result<World, AwsError>) -> Result<World, AwsError> {
        let ec2 = &self.clients.ec2;
        let seen = now.clone();
        let (now, around) = future::join(tracking::shorten(self, now), around::look(ec2, seen.as_ref())).await;
        self.with(now, around)
    }

    /// Looks at what is around the target.
    pub(crate) async fn survey(&mut self, now: Result<World, AwsError>) -> Result<World, AwsError> {
        let around = around::look(&self.clients.ec2, now.as_ref()).await;
        self.with(now, around)
    }

    fn with(&mut self, now: Result<World, AwsError>, around: Around) -> Result<World, AwsError> {
        self.around = around.risks;
        now.map(|mut now| {
            now.nics.extend(around.branches);
            now
        })
    }

    /// Decides and acts until nothing is left to do or something fails; then sees to it that no door is open. The world as it
    /// was read back last, or the error that kept it from being read.
    pub(crate) async fn settle(&mut self, mut world: World, first: Option<u32>) -> Result<Result<World, AwsError>, Error> {
        if self.contain {
            self.suspect(&world);
        }
        for round in 0..ROUNDS {
            let Some((now, failed)) = self.round(&world, first.filter(|_| round == 0)).await? else { break };
            world = match now {
                Ok(now) => now,
                Err(error) => return Ok(Err(error)),
            };
            if failed {
                break;
            }
        }
        if self.contain && self.strays(&world) {
            self.lose_path("a collection group was read back with other rules than its own, again and again");
            if let Some((now, _)) = self.round(&world, None).await? {
                world = match now {
                    Ok(now) => now,
                    Err(error) => return Ok(Err(error)),
                };
            }
        }
        let doors: Vec<(GroupId, Rules)> =
            world.open_doors().into_iter().map(|group: &Group| (group.id.clone(), group.rules.clone())).collect();
        if doors.is_empty() {
            return Ok(Ok(world));
        }
        self.close(doors).await;
        Ok(look(&self.clients.ec2, self.plan).await)
    }

    /// Decides, acts and looks; `None` where there is nothing to do. The world as read back, and whether something failed.
    async fn round(&mut self, world: &World, first: Option<u32>) -> Result<Option<(Result<World, AwsError>, bool)>, Error> {
        let Some((decision, number)) = self.announce(world, first).await? else { return Ok(None) };
        let Round { mut attempts, collecting, doors } = self.carry_out(&decision).await;
        let failed = attempts.iter().any(|attempt| attempt.error.is_some());
        attempts.extend(collecting);
        self.log(first, number, attempts);
        let now = look(&self.clients.ec2, self.plan).await;
        match &now {
            Ok(now) => self.doubt(&doors, now),
            Err(_) if failed => {
                let used: BTreeSet<GroupId> = doors.into_values().collect();
                self.close(used.into_iter().map(|id| (id, allow_all())).collect()).await;
            }
            Err(_) => {}
        }
        Ok(Some((now, failed)))
    }

    /// A conversion group that is not open any more was closed by another case, perhaps before an interface of ours came in:
    /// then nothing became untracked in it.
    fn doubt(&mut self, doors: &BTreeMap<InterfaceId, GroupId>, now: &World) {
        let shut = doors.iter().filter(|(_, door)| !now.group(door).is_some_and(is_open));
        self.tracked.extend(shut.map(|(nic, _)| nic.clone()));
    }

    /// The same of what was brought into a conversion group before this run: by Convert, or by an attempt that broke.
    fn suspect(&mut self, world: &World) {
        let shut =
            |nic: &&Nic| nic.groups.iter().filter_map(|id| world.group(id)).any(|it| it.role == Role::Conversion && !is_open(it));
        self.tracked.extend(world.nics.iter().filter(|nic| nic.is_ours()).filter(shut).map(|nic| nic.id.clone()));
    }

    /// Whether an interface is in a collection group that is not exactly its path: no place to stay in.
    fn strays(&self, world: &World) -> bool {
        let astray = |nic: &Nic| status(nic, world, self.open_path()).0 != InterfaceStatus::PathOnly;
        world.nics.iter().filter(|nic| nic.is_ours() && world.wears(nic, Role::Collection)).any(astray)
    }

    fn lose_path(&mut self, why: &str) {
        if self.path {
            self.reasons.push(format!("{why}, so everything was isolated: memory has no path"));
        }
        self.path = false;
    }

    /// Decides, and writes down what is not in the first intent already; `None` where there is nothing to do.
    async fn announce(&mut self, world: &World, first: Option<u32>) -> Result<Option<(Decision, Option<u32>)>, Error> {
        let decision = self.decide(world);
        if decision.is_empty() {
            return Ok(None);
        }
        let said =
            |change: &Change| first.is_some() && world.nics.iter().any(|nic| self.is_planned(nic) && is_move_of(change, nic));
        let changes: Vec<Change> = intended(&decision).into_iter().filter(|change| !said(change)).collect();
        if changes.is_empty() {
            return Ok(Some((decision, None)));
        }
        match self.recorder.intent(changes).await {
            Ok(number) => Ok(Some((decision, Some(number)))),
            Err(error) if self.contain => Err(error.into()),
            Err(error) => {
                self.unrecorded(&error);
                let decision = self.decide(world);
                Ok((!decision.is_empty()).then_some((decision, None)))
            }
        }
    }

    fn decide(&self, world: &World) -> Decision {
        let may_touch = |nic: &Nic| self.own && self.is_durable(nic);
        decide(world, &Scope { convert: self.contain, path: self.open_path(), converted: &self.converted, may_touch: &may_touch })
    }

    /// What memory is collected through, where this run keeps it open.
    pub(crate) fn open_path(&self) -> Option<&CollectionPath> {
        if self.path { self.plan.collection_path() } else { None }
    }

    /// Whether the interface is as the plan, and so `before.json` and the first intent, has it.
    pub(crate) fn is_planned(&self, nic: &Nic) -> bool {
        let set = |groups: &[GroupId]| groups.iter().cloned().collect::<BTreeSet<_>>();
        self.plan.target.interfaces.iter().any(|planned| planned.id == nic.id && set(&planned.groups) == set(&nic.groups))
    }

    /// Whether the interface's old groups are durable, or will be before it is changed.
    fn is_durable(&self, nic: &Nic) -> bool {
        self.recording || (self.saved && self.is_planned(nic))
    }

    /// Finds or makes the groups that a decision needs.
    async fn places(&mut self, decision: &Decision, round: &mut Round) -> BTreeMap<VpcId, Places> {
        let ec2 = &self.clients.ec2;
        let maker = self.plan.case_id.as_str();
        let path = self.open_path();
        let ensured = future::join_all(decision.vpcs.iter().map(|(vpc, need)| async move {
            let Need { isolation, collection, conversion } = need;
            let maybe = |need: &'_ Option<GroupNeed>| {
                let need = need.clone();
                async move {
                    match need {
                        Some(need) => ensure(ec2, maker, vpc, &need, path).await,
                        None => Ensured::default(),
                    }
                }
            };
            (vpc.clone(), future::join3(ensure(ec2, maker, vpc, isolation, None), maybe(collection), maybe(conversion)).await)
        }))
        .await;
        let mut places: BTreeMap<VpcId, Places> = BTreeMap::new();
        let mut lost = Vec::new();
        for (vpc, (isolation, collection, conversion)) in ensured {
            if !collection.attempts.is_empty() && collection.id.is_none() {
                lost.push(format!("the collection group of {vpc} could not be had with just its own rules"));
            }
            round.attempts.extend(isolation.attempts.into_iter().chain(conversion.attempts));
            round.collecting.extend(collection.attempts);
            places.insert(vpc, Places { isolation: isolation.id, collection: collection.id, conversion: conversion.id });
        }
        for why in lost {
            self.lose_path(&why);
        }
        places
    }

    /// Converts every interface that a decision converts, and cuts none: Isolate comes next, and does. The interfaces that were.
    ///
    /// Each call is sent once: one that waited for another try would keep those open that went through.
    pub(crate) async fn convert(&mut self, world: &World) -> Result<Vec<InterfaceId>, Error> {
        let mut decision = self.decide(world);
        decision.moves.retain(|moving| moving.convert);
        for moving in &mut decision.moves {
            (moving.convert, moving.to) = (false, Role::Conversion);
        }
        if decision.moves.is_empty() {
            return Ok(Vec::new());
        }
        let number = self.recorder.intent(intended(&decision)).await?;
        let mut round = Round::default();
        let places = self.places(&decision, &mut round).await;
        // Without a group to end in, converting would only open the target.
        let door = |nic: &Nic| places.get(&nic.vpc).filter(|places| places.isolation.is_some())?.conversion.clone();
        let moves: Vec<(&Nic, GroupId)> = decision.moves.iter().filter_map(|m| Some((&m.nic, door(&m.nic)?))).collect();
        let attempts =
            future::join_all(moves.iter().map(|(nic, door)| self.swap_at(modest(), nic, door, Role::Conversion))).await;
        let went = moves.iter().zip(&attempts).filter(|(_, attempt)| attempt.error.is_none());
        let converted = went.map(|((nic, _), _)| nic.id.clone()).collect();
        round.attempts.extend(attempts);
        round.attempts.extend(round.collecting);
        self.log(None, Some(number), round.attempts);
        Ok(converted)
    }

    /// Groups first; then every interface at once, each by itself.
    async fn carry_out(&mut self, decision: &Decision) -> Round {
        let mut round = Round::default();
        let places = self.places(decision, &mut round).await;
        let of = |moving: &Move| places.get(&moving.nic.vpc);
        // Without a group to end in, converting would only open the target.
        let cuts: Vec<(&Move, GroupId, Role)> = decision
            .moves
            .iter()
            .filter_map(|m| {
                let places = of(m)?;
                let kept = places.collection.clone().filter(|_| m.to == Role::Collection);
                kept.map(|id| (m, id, Role::Collection)).or_else(|| Some((m, places.isolation.clone()?, Role::Isolation)))
            })
            .collect();
        let ways = cuts.iter().map(|(moving, room, role)| {
            let places = of(moving);
            let door = places.and_then(|places| places.conversion.as_ref()).filter(|_| moving.convert);
            self.lead(&moving.nic, door, room, *role, places.and_then(|places| places.isolation.as_ref()))
        });
        let mut converted = BTreeSet::new();
        for ((moving, _, _), way) in cuts.iter().zip(future::join_all(ways).await) {
            let nic = &moving.nic.id;
            if let Some((door, attempt)) = way.converting {
                if attempt.error.is_none() {
                    converted.insert(nic.clone());
                }
                round.doors.insert(nic.clone(), door);
                round.attempts.push(attempt);
            }
            if let Some(attempt) = way.refused {
                self.lose_path("an interface could not be moved into its collection group");
                round.collecting.push(attempt);
            }
            round.attempts.push(way.ending);
        }
        // What wears nothing but the conversion group needs no converting; everything else should have been.
        let tracked = cuts.iter().filter(|(m, _, _)| !converted.contains(&m.nic.id) && (m.convert || !self.contain));
        self.tracked.extend(tracked.map(|(m, _, _)| m.nic.id.clone()).filter(|id| !self.converted.contains(id)));
        self.converted.extend(converted);
        round
    }

    /// Leads one interface through the wide-open group to where it ends, without waiting for any other in between. One that its
    /// collection group does not take goes to its isolation group after all, so that the refusal costs no more than its memory.
    async fn lead(&self, nic: &Nic, door: Option<&GroupId>, room: &GroupId, role: Role, otherwise: Option<&GroupId>) -> Way {
        let converting = match door {
            Some(door) => Some((door.clone(), self.swap(nic, door, Role::Conversion).await)),
            None => None,
        };
        let ending = self.swap(nic, room, role).await;
        match otherwise.filter(|_| role == Role::Collection && ending.error.is_some()) {
            Some(isolation) => {
                let instead = self.swap(nic, isolation, Role::Isolation).await;
                Way { converting, refused: Some(ending), ending: instead }
            }
            None => Way { converting, refused: None, ending },
        }
    }

    async fn swap(&self, nic: &Nic, group: &GroupId, role: Role) -> Attempt {
        let pace = &self.clients.pace;
        let pace = if role == Role::Conversion { pace.opening() } else { pace.closing() };
        self.swap_at(pace, nic, group, role).await
    }

    async fn swap_at(&self, pace: Builder, nic: &Nic, group: &GroupId, role: Role) -> Attempt {
        let call = self.clients.ec2.modify_network_interface_attribute().network_interface_id(nic.id.as_str());
        let call = call.groups(group.as_str()).customize().config_override(pace);
        let result = call.send().await.map_err(failed(crate::records::MODIFY));
        let mut intended = moved(nic, role);
        intended.to = json!({ "group": role.tag(), "groups": [group] });
        let mut attempt = Attempt::new(intended, result, &[]);
        // Detached and deleted meanwhile: nothing is left to cut, and the read-back will not find it.
        if attempt.error.as_ref().is_some_and(|error| error.is("InvalidNetworkInterfaceID.NotFound")) {
            attempt.error = None;
        }
        attempt
    }

    /// Closes conversion groups that still hold an interface: their own rules go, and they are never used again.
    pub(crate) async fn close(&mut self, doors: Vec<(GroupId, Rules)>) {
        let case = &self.plan.case_id;
        let mut changes = Vec::new();
        for (id, rules) in &doors {
            let revokes = [("ec2:RevokeSecurityGroupIngress", &rules.ingress), ("ec2:RevokeSecurityGroupEgress", &rules.egress)];
            changes.extend(revokes.map(|(action, rules)| change(action, &id, rules_json(rules), Value::Null)));
            changes.push(retirement(case, id));
        }
        let intent = self.recorder.intent(changes).await;
        let closing = doors.iter().map(|(id, rules)| retire(self.clients, case, id, rules));
        let attempts: Vec<Attempt> = future::join_all(closing).await.into_iter().flatten().collect();
        for (id, _) in &doors {
            self.reasons.push(format!(
                "an interface could not leave the conversion group {id}, so that group's own rules were revoked and it was retired: \
                 move the interface to an isolation group by hand"
            ));
        }
        let number = intent.map_err(|error| self.unrecorded(&error)).ok();
        self.log(None, number, attempts);
    }

    pub(crate) fn unrecorded(&mut self, error: &StoreError) {
        self.recording = false;
        self.reasons.push(incident::text::bounded(&format!("the case file could not be written before a change: {error}"), 600));
    }

    /// Files one change that was made beside the rounds.
    pub(crate) fn file(&mut self, number: Option<u32>, attempt: Attempt) {
        self.log(None, number, vec![attempt]);
    }

    /// Files the changes under their intent: those of `number`, where they are in it, else those of `first`.
    fn log(&mut self, first: Option<u32>, number: Option<u32>, attempts: Vec<Attempt>) {
        self.failures.extend(attempts.iter().filter_map(|attempt| attempt.error.clone()));
        let changes: Vec<Change> = attempts.into_iter().map(|attempt| attempt.change).collect();
        match (first, number) {
            (None, None) => self.unsaid.extend(changes),
            (Some(only), None) | (None, Some(only)) => self.done.push((only, changes)),
            (Some(first), Some(number)) => {
                let from = |c: &Change| {
                    c.from.get("groups").and_then(|groups| serde_json::from_value::<BTreeSet<GroupId>>(groups.clone()).ok())
                };
                let planned = |c: &Change| {
                    let mut planned = self.plan.target.interfaces.iter().filter(|nic| nic.id.as_str() == c.subject);
                    planned.any(|nic| from(c) == Some(nic.groups.iter().cloned().collect()))
                };
                let (mine, others): (Vec<_>, Vec<_>) = changes.into_iter().partition(planned);
                self.done.extend([(first, mine), (number, others)]);
            }
        }
    }

    /// Writes the outcomes. `first` is the intent over the plan's interfaces: what it named and nobody did was so already.
    pub(crate) async fn record(&mut self, first: Option<u32>, note: Value) -> Result<(), StoreError> {
        let mut outcomes: BTreeMap<u32, Vec<Change>> = BTreeMap::new();
        for (number, changes) in std::mem::take(&mut self.done) {
            outcomes.entry(number).or_default().extend(changes);
        }
        if let Some(number) = first {
            let changes = outcomes.entry(number).or_default();
            let undone: Vec<Change> = first_intent(self.plan)
                .into_iter()
                .filter(|intended| !changes.iter().any(|c| c.subject == intended.subject))
                .map(|intended| Change { result: Some(ChangeResult::Already), ..intended })
                .collect();
            changes.extend(undone);
        }
        let recorder = &self.recorder;
        let mut puts: Vec<_> =
            outcomes.into_iter().map(|(number, changes)| recorder.outcome(number, changes, note.clone())).collect();
        let unsaid = std::mem::take(&mut self.unsaid);
        let late = (!unsaid.is_empty()).then(|| recorder.note(json!({ "changedWithoutIntent": unsaid, "note": note.clone() })));
        let late = async {
            match late {
                Some(put) => put.await.map(drop),
                None => Ok(()),
            }
        };
        let (results, late) = future::join(future::join_all(puts.drain(..)), late).await;
        results.into_iter().map(|result| result.map(drop)).chain([late]).collect()
    }

    /// The fault that decides what the state machine does: the one that trying again can help comes first.
    pub(crate) fn worst(&self) -> Option<&AwsError> {
        let transient = self.failures.iter().find(|error| error.fault == Fault::Transient);
        transient.or_else(|| self.failures.first())
    }
}

/// Whether a conversion group lets everything pass: what is in another one becomes no more untracked.
fn is_open(group: &Group) -> bool {
    !group.retired && Family::missing(&group.rules.ingress).is_empty() && Family::missing(&group.rules.egress).is_empty()
}

/// The intent that is written while the first look is made: the plan's interfaces, from the groups that the plan has.
pub(crate) fn first_intent(plan: &Plan) -> Vec<Change> {
    let nics = plan.target.interfaces.iter().map(|nic| Nic {
        id: nic.id.clone(),
        vpc: nic.vpc.clone(),
        subnet: String::new(),
        groups: nic.groups.clone(),
        keeper: Keeper::Us,
        trunk: false,
    });
    let path = plan.collection_path();
    let end = |nic: &Nic| if path.is_some_and(|path| path.interface == nic.id) { Role::Collection } else { Role::Isolation };
    nics.flat_map(|nic| [moved(&nic, Role::Conversion), moved(&nic, end(&nic))]).collect()
}

fn is_move_of(change: &Change, nic: &Nic) -> bool {
    change.action == crate::records::MODIFY && change.subject == nic.id.as_str()
}
