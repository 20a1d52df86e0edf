//! A station at work: the line, its broker link, and the supervisor that feeds the watchdog and ends it all in order.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{RecvTimeoutError, bounded};
use diad_core::name::{LineName, StationName};
use diad_engine::Engine;
use diad_ledger::LedgerError;
use diad_publish::settings::LinkSettings;
use diad_publish::topic::TopicRoot;
use diad_publish::wire::{self, Digest, Heartbeat, Inbound, OnUnjudged};
use diad_publish::{DrainReport, LinkStatus, PublishError, Publisher, PublisherSettings};
use sd_notify::NotifyState;
use tokio::sync::Semaphore;
use tracing::{error, info, warn};

use self::inbound_health::{ProductHealth, UnreadMessages};
use self::link::LinkWatch;
use self::systemd::{Status, send as send_to_systemd};
use crate::archive::{Archive, ArchiveSpec};
use crate::guard::GuardSpec;
use crate::health::{Health, Source};
use crate::line::{
    self, CameraSpec, CounterCheck, Ended, LateTriggers, LineError, LineSpec, ReloadNetworks, ResilientLedger, Stop,
    Totals, VerdictObserver, Witness,
};
use crate::model::Model;
use crate::products::Products;
use crate::retention::Retention;
use crate::thresholds::LiveThresholds;
use crate::web::live_stats::LiveStats;
use crate::web::{self, Plant, WebSpec};

mod inbound_health;
mod link;
mod systemd;

/// How long parts on the line may still be judged after a wish to stop.
const DRAIN_LINE: Duration = Duration::from_secs(3);
/// How long the broker may take to acknowledge what is owed. The rest stays in the ledger for the next start.
const DRAIN_LINK: Duration = Duration::from_secs(3);
/// How long it may then take to say goodbye.
const OFFLINE_TIMEOUT: Duration = Duration::from_millis(250);
/// How long the first part waits for the broker at most.
const FIRST_CONNECTION: Duration = Duration::from_secs(2);
/// How often the supervisor looks around.
const SUPERVISION_INTERVAL: Duration = Duration::from_millis(50);
/// Words of people that may wait for the record stage.
const MARKS_WAITING: usize = 16;
/// What the health of a station calls parts that cannot be found.
const ACCOUNT_HEALTH: Source = Source::Account;
/// What it calls messages of the plant that were lost.
const LOST_MESSAGES_HEALTH: Source = Source::Messages;
/// What it calls topics that the broker does not let the station hear.
const SUBSCRIPTION_HEALTH: Source = Source::Subscription;
/// What it calls triggers that no camera takes.
const IGNORED_TRIGGERS_HEALTH: Source = Source::MessagesUnheeded;
/// What it calls triggers that came late.
const LATE_TRIGGERS_HEALTH: Source = Source::LateTriggers;
/// What it calls those that never came.
const MISSING_TRIGGERS_HEALTH: Source = Source::TriggersMissing;
/// How often the heartbeat goes out.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// What a station is made of.
pub struct StationSpec<W> {
    /// The line it stands on.
    pub line: LineName,
    /// Its name.
    pub station: StationName,
    /// Its cameras.
    pub cameras: Vec<CameraSpec>,
    /// Its model, warmed up.
    pub model: Model,
    /// How its networks are loaded anew.
    pub rebuild: ReloadNetworks<Engine>,
    /// The thresholds in force.
    pub thresholds: LiveThresholds,
    /// Which products have a name, and what becomes of parts of others.
    pub products: Products,
    /// From trigger to verdict.
    pub deadline: Duration,
    /// For so long after its deadline a part may be at the gate.
    pub repeat_within: Duration,
    /// What the reject line does with a part that was not judged.
    pub on_unjudged: OnUnjudged,
    /// The broker.
    pub link: LinkSettings,
    /// First level of every topic.
    pub root: TopicRoot,
    /// The database file of its ledger.
    pub ledger: PathBuf,
    /// How long acknowledged verdicts stay in it.
    pub keep: Duration,
    /// Whose pictures are kept.
    pub archive: ArchiveSpec,
    /// Under which settings it runs.
    pub settings: Digest,
    /// Its page, if it has one.
    pub web: Option<WebSpec>,
    /// What watches it.
    pub guards: GuardSpec,
    /// Sees every judged part.
    pub witness: W,
    /// Hears every verdict.
    pub listener: VerdictObserver,
}

/// A station that could not work, or worked until a bug stopped it.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    /// The ledger cannot be used.
    #[error("open the ledger")]
    Ledger(#[source] LedgerError),
    /// The broker link could not be made.
    #[error("start the broker link")]
    Publish(#[from] PublishError),
    /// The line could not be started.
    #[error("start the line")]
    Line(#[from] LineError),
    /// A stage panicked, or the networks failed again and again.
    #[error("stage {stage} gave up; its parts are on record as UNJUDGED")]
    Bug {
        /// The stage.
        stage: &'static str,
    },
}

/// What a station did.
#[derive(Debug)]
pub struct Report<W> {
    /// The witness with what it saw.
    pub witness: W,
    /// Parts in, verdicts out.
    pub totals: Totals,
    /// The link before it said goodbye.
    pub link: LinkStatus,
    /// What the last wait for the broker brought.
    pub drained: DrainReport,
    /// Verdicts that wait in the ledger for the next start.
    pub owed: u64,
}

/// Runs a station until its cameras have ended, `stop` is asked, or a stage breaks.
///
/// `prepare` gets the station's health before the line starts: whoever watches something beside the line reports there.
///
/// # Errors
/// [`StationError`]. Whatever happens, the line is drained and the broker is told goodbye first.
pub fn run<W: Witness + 'static>(
    spec: StationSpec<W>,
    stop: &Stop,
    prepare: impl FnOnce(&Health),
) -> Result<Report<W>, StationError> {
    let deadline_ms = u32::try_from(spec.deadline.as_millis()).unwrap_or(u32::MAX);
    let opened = line::open_journal(&spec.ledger, &spec.line, &spec.station, deadline_ms);
    let (ledger, context) = opened.map_err(StationError::Ledger)?;
    let run = context.run.clone();
    info!(line = %spec.line, station = %spec.station, %run, deadline_ms, "station starts");
    let watch_triggers = spec.cameras.iter().any(CameraSpec::takes_messages);
    let link_watch = LinkWatch::new(spec.cameras.iter().all(CameraSpec::takes_messages));
    let publisher = Arc::new(Publisher::start(PublisherSettings {
        link: spec.link,
        root: spec.root,
        station: wire::Station { line: spec.line, station: spec.station, run },
        on_unjudged: spec.on_unjudged,
        deadline_ms,
        watch_triggers,
        outbox_capacity: PublisherSettings::OUTBOX_CAPACITY,
    })?);
    let health = Health::new(Arc::clone(&publisher));
    let mut status = Status::default();
    status.send(&health);
    prepare(&health);
    let (archive, archiving) = Archive::start(spec.archive, Retention::starting(ledger.read()), &health);
    let (marks, marked) = bounded(MARKS_WAITING);
    let mut listener = spec.listener;
    let page = spec.web.map(|web| {
        let plant = Arc::new(Plant {
            line: context.line.clone(),
            station: context.station.clone(),
            run: context.run.clone(),
            cameras: spec.cameras.iter().map(|camera| camera.id().clone()).collect(),
            deadline_ms,
            model: spec.model.digest,
            ledger: ledger.path().to_owned(),
            thresholds: spec.thresholds.clone(),
            thresholds_file: web.thresholds,
            board: LiveStats::default(),
            archive: archive.clone(),
            health: health.clone(),
            publisher: Arc::clone(&publisher),
            marks,
            marked: AtomicU64::new(0),
            golden: spec.guards.request(),
            account: OnceLock::new(),
            workers: Arc::new(Semaphore::new(web::MAX_PARALLEL_REQUESTS)),
            what_ifs: Arc::new(Semaphore::new(1)),
            writing: Mutex::new(()),
        });
        (web::start(web.listen, web.access, Arc::clone(&plant)), plant)
    });
    if let Some((Err(error), _)) = &page {
        health.problem(Source::Http, &format!("no thread for the page: {error}"));
    }
    let board = page.as_ref().map(|(_, plant)| plant.board.clone());
    wait_for_link(&publisher, stop);
    let (guards, proctor) = spec.guards.prepare(&health);
    let watch = ProductHealth::new(&spec.products, &spec.thresholds, &spec.cameras);
    let line = line::start(
        LineSpec {
            cameras: spec.cameras,
            inspector: spec.model.inspector,
            rebuild: spec.rebuild,
            thresholds: spec.thresholds,
            products: spec.products,
            deadline: spec.deadline,
            repeat_within: spec.repeat_within,
            publisher: Arc::clone(&publisher),
            journal: ResilientLedger::new(ledger, context, spec.keep, health.clone())?,
            drain: DRAIN_LINK,
            model: spec.model.digest,
            settings: spec.settings,
            witness: spec.witness,
            listener: Box::new(move |event, timings| {
                if let Some(board) = &board {
                    board.note(event, timings, f64::from(deadline_ms));
                }
                listener(event, timings);
            }),
            archive,
            marks: marked,
            guards,
            health: health.clone(),
        },
        stop.clone(),
    )
    .inspect_err(|_| report_unread(&publisher))?;
    if let Some((_, plant)) = &page {
        // Set once, here.
        let _ = plant.account.set(line.account().clone());
    }
    if watch_triggers {
        wait_for_prompt_link(&line, &publisher, stop);
    }
    // Parts are judged from here on; where there are golden parts, the station is `ready` only after them.
    let golden = match proctor {
        Some(proctor) => proctor.start(),
        None => {
            health.ready();
            None
        }
    };
    // Parts are judged: for systemd the start is over, with golden parts or without.
    send_to_systemd(&[NotifyState::Ready]);

    let account = line.account().clone();
    let line = supervise(line, &publisher, &health, (&watch, &link_watch), stop, &mut status);
    drop(golden);
    health.stopping();
    send_to_systemd(&[NotifyState::Stopping]);
    status.send(&health);
    stop.ask(DRAIN_LINE);
    let ended = line.join(|| publisher.close_inbound());
    let totals = account.totals();
    report_unsettled(&health, &totals);
    health.stopped();
    status.send(&health);
    drop(archiving);
    let link = publisher.status();
    let drained = publisher.drain(Instant::now() + OFFLINE_TIMEOUT);
    let (ended, mut journal) = match ended {
        Ended::Clean(witness, journal) => (Ok(witness), Some(journal)),
        Ended::Broken(stage, journal) => (Err(StationError::Bug { stage }), journal),
    };
    let owed = journal.as_mut().map_or(0, |journal| journal.settle(&publisher));
    log_end(&totals, &drained, owed);
    ended.map(|witness| Report { witness, totals, link, drained, owed })
}

fn log_end(totals: &Totals, drained: &DrainReport, owed: u64) {
    if owed > 0 {
        warn!(owed, "verdicts not acknowledged by the broker wait in the ledger for the next start");
    }
    if drained.remaining > 0 {
        warn!(remaining = drained.remaining, "verdicts were in memory without acknowledgement when the process ended");
    }
    info!(
        triggered = totals.triggered,
        verdicts = totals.verdicts(),
        acknowledged = drained.acknowledged,
        owed,
        "station stopped"
    );
}

/// Gives the broker a moment before the first part: a part decided while nobody listens gets no reject bit. A broker
/// that is not there does not keep the station from working.
fn wait_for_link(publisher: &Publisher, stop: &Stop) {
    let give_up = Instant::now() + FIRST_CONNECTION;
    while !publisher.status().connected && !stop.asked() {
        if Instant::now() >= give_up {
            let reason = publisher.status().last_error.unwrap_or_else(|| "no answer".to_owned());
            warn!(%reason, "broker not reached; inspection begins without it and verdicts wait");
            return;
        }
        std::thread::sleep(SUPERVISION_INTERVAL / 10);
    }
}

/// Takes what has waited at the broker, until the link shows that a trigger which comes now has not: the plant may go by
/// `ready`. A broker that is not there, or does not answer, does not keep the station from working.
fn wait_for_prompt_link<W>(line: &line::Line<W>, publisher: &Publisher, stop: &Stop) {
    let give_up = Instant::now() + FIRST_CONNECTION;
    while !stop.asked() && Instant::now() < give_up {
        let link = publisher.status();
        if link.prompt || !link.connected {
            return;
        }
        if let Ok(message) = publisher.inbound().recv_timeout(SUPERVISION_INTERVAL / 10) {
            line.route(message);
        }
    }
}

/// A line that does not start hears no trigger. None of them is acknowledged: the broker has them for the next start.
fn report_unread(publisher: &Publisher) {
    for arrived in publisher.close_inbound() {
        let part = match arrived.message {
            Inbound::Trigger { trigger, .. } => Some(trigger.part),
            Inbound::UnclearTrigger { unclear, .. } => Some(unclear.trigger.part),
            Inbound::Product { .. } | Inbound::UnclearProduct { .. } | Inbound::Fault(_) => None,
        };
        if let Some(part) = part {
            error!(?part, "trigger stays with the broker: the line did not start");
        }
    }
}

/// Hands messages on, sends the heartbeat and feeds the watchdog, until the line is over or should stop.
fn supervise<W>(
    mut line: line::Line<W>,
    publisher: &Publisher,
    health: &Health,
    (products, link_watch): (&ProductHealth, &LinkWatch),
    stop: &Stop,
    status: &mut Status,
) -> line::Line<W> {
    let mut next_heartbeat = Instant::now();
    let mut balance = CounterCheck::default();
    let mut unread = UnreadMessages::default();
    let mut link_seen = publisher.progress();
    // systemd asks for a sign of life within this time; half of it leaves room for a slow look.
    let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let mut next_feed = Instant::now();
    while !stop.asked() && !line.is_over() {
        match publisher.inbound().recv_timeout(SUPERVISION_INTERVAL) {
            Ok(message) => line.route(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(SUPERVISION_INTERVAL),
        }
        let now = Instant::now();
        status.send(health);
        if now >= next_heartbeat {
            next_heartbeat = now + HEARTBEAT_INTERVAL;
            let totals = line.account().totals();
            let unaccounted = balance.look(&totals);
            if unaccounted > 0 {
                health.problem(ACCOUNT_HEALTH, &format!("{unaccounted} parts cannot be accounted for; this is a bug"));
            }
            let link = publisher.status();
            report_lost(health, link.inbound_lost);
            unread.report(health, &link, now);
            products.report(health, &line.product(), now);
            report_refused_subscription(health, link.connected && !link.subscribed);
            link_watch.report(health, &link, SystemTime::now());
            report_unheeded(health, line.unheeded_triggers());
            let late = line.late_triggers();
            line.account().set_triggers_missing(late.missing);
            report_late(health, &late);
            publisher.heartbeat(Heartbeat {
                parts_in: totals.triggered,
                verdicts_out: totals.verdicts(),
                queue_depth: totals.waiting(),
                owed: totals.owed,
                unaccounted,
                margin_ms: line.account().take_least_margin_ms(),
            });
        }
        if let Some(every) = watchdog.filter(|_| now >= next_feed) {
            let link = publisher.progress();
            let still = line.still();
            if still.is_empty() && link != link_seen {
                link_seen = link;
                next_feed = now + every / 2;
                send_to_systemd(&[NotifyState::Watchdog]);
            } else if now >= next_feed + every {
                warn!(?still, link_moves = link != link_seen, "watchdog not fed: a stage does not move");
            }
        }
    }
    line
}

/// At the end every part has its one verdict.
fn report_unsettled(health: &Health, totals: &Totals) {
    let unsettled = totals.triggered.abs_diff(totals.verdicts());
    if unsettled > 0 {
        health
            .problem(ACCOUNT_HEALTH, &format!("{unsettled} parts without their one verdict at the end; this is a bug"));
    }
}

/// A trigger that was lost is a part without a number: nothing but this says that it was there.
fn report_lost(health: &Health, lost: u64) {
    if lost > 0 {
        let detail = format!("{lost} messages from the plant were lost since the start, for too many came at once");
        health.problem(
            LOST_MESSAGES_HEALTH,
            &format!("{detail}. A trigger's part has no verdict, a change-over did not happen"),
        );
    }
}

/// Whoever stands at the gate sees parts taken off: this says why.
fn report_late(health: &Health, triggers: &LateTriggers) {
    match &triggers.last {
        Some(last) => {
            let detail =
                format!("triggers that came late since the start: {}, their parts are not judged", triggers.late);
            health.problem(LATE_TRIGGERS_HEALTH, &format!("{detail}; the last, {last}"));
        }
        None => health.well(LATE_TRIGGERS_HEALTH),
    }
    if triggers.misses {
        let detail = format!("triggers that never came since the start, by the plant's count: {}", triggers.missing);
        health.problem(MISSING_TRIGGERS_HEALTH, &format!("{detail}; their parts have no verdict"));
    } else {
        health.well(MISSING_TRIGGERS_HEALTH);
    }
}

/// The plant believes that its triggers make parts, and the settings say otherwise.
fn report_unheeded(health: &Health, unheeded: u64) {
    if unheeded > 0 {
        let detail =
            format!("triggers that no camera takes since the start: {unheeded}, and their parts have no verdict");
        health.problem(
            IGNORED_TRIGGERS_HEALTH,
            &format!("{detail}; set trigger: {{ kind: mqtt }} at a camera, or stop sending them"),
        );
    }
}

/// What the broker's access rules keep from the station, nobody hears: triggers and change-overs.
fn report_refused_subscription(health: &Health, deaf: bool) {
    if deaf {
        health.problem(
            SUBSCRIPTION_HEALTH,
            "the broker refused the trigger or product subscription; check its access rules",
        );
    } else {
        health.well(SUBSCRIPTION_HEALTH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn parts_that_nothing_else_is_known_of_degrade_the_station() {
        let health = testing::health();
        report_lost(&health, 0);
        assert!(health.look().1.is_empty());
        report_lost(&health, 3);
        let (_, problems) = health.look();
        assert!(problems[0].0 == LOST_MESSAGES_HEALTH && problems[0].1.starts_with("3 messages"), "{problems:?}");
        assert_eq!(health.faults().1, [LOST_MESSAGES_HEALTH]);
        report_refused_subscription(&health, true);
        assert_eq!(health.faults().1, [LOST_MESSAGES_HEALTH, SUBSCRIPTION_HEALTH]);
        report_refused_subscription(&health, false);
        assert_eq!(health.faults().1, [LOST_MESSAGES_HEALTH]);
        report_unheeded(&health, 0);
        assert_eq!(health.faults().1, [LOST_MESSAGES_HEALTH]);
        report_unheeded(&health, 2);
        assert_eq!(health.faults().1, [LOST_MESSAGES_HEALTH, IGNORED_TRIGGERS_HEALTH]);
    }

    #[test]
    fn late_and_missing_triggers_degrade_the_station_for_a_while() {
        let health = testing::health();
        report_late(&health, &LateTriggers::default());
        assert!(health.look().1.is_empty());
        let last = Some("P-7: the broker delivered it again".to_owned());
        report_late(&health, &LateTriggers { late: 2, last, missing: 3, misses: true });
        let (_, problems) = health.look();
        assert!(
            problems[0].0 == LATE_TRIGGERS_HEALTH
                && problems[0].1.contains("start: 2,")
                && problems[0].1.contains("P-7")
        );
        assert!(problems[1].0 == MISSING_TRIGGERS_HEALTH && problems[1].1.contains("count: 3;"), "{problems:?}");
        report_late(&health, &LateTriggers { late: 2, missing: 3, ..LateTriggers::default() });
        assert!(health.look().1.is_empty());
    }
}
