//! The command line: what a person may type, and nothing of what it does.

mod examples;
mod moment;

pub(crate) use moment::parse as parse_moment;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use diad_core::name::ProductName;
use diad_engine::Provider;
use diad_ledger::Moment;

use crate::model::default_folder;

/// Judges parts on a factory line: camera in, verdicts out over MQTT.
#[derive(Debug, Parser)]
#[command(name = "diad", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The definition of the command line, with examples at the end of each help.
    #[must_use]
    pub fn definition() -> clap::Command {
        examples::add(Self::command(), &[])
    }

    /// Parses the arguments of this process.
    ///
    /// # Errors
    /// What is wrong with them; also a call for help or version, with the text as the error's.
    pub fn read() -> Result<Self, clap::Error> {
        Self::from_arg_matches(&Self::definition().try_get_matches()?)
    }
}

const EXIT_CODES: &str = "\
Logs go to standard error; DIAD_LOG sets their level (error, warn, info, debug, trace).
Exit codes: 0 done, 64 usage, 65 bad input data, 69 device or service unavailable, 70 bug, 74 disk, 78 settings.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole line on this machine with nothing installed: rendered parts, embedded broker
    Demo(DemoArgs),
    /// Run a station: the daemon
    Run(RunArgs),
    /// Validate settings, thresholds and model bundle, and list every fault
    Check(CheckArgs),
    /// Judge single images
    Inspect(InspectArgs),
    /// Measure a model on a data set in MVTec-AD layout
    Eval(EvalArgs),
    /// Compute thresholds from good parts, with a bound on the false rejects of later parts
    Calibrate(CalibrateArgs),
    /// Learn a product on this machine, from good parts: a reference bank, and cut-offs with a bound
    Learn(LearnArgs),
    /// Remove a learnt product: its bank and the cut-offs that belong to it
    Unlearn(UnlearnArgs),
    /// List the products that were learnt on this machine
    Products(ProductsArgs),
    /// Apply other thresholds to the recorded parts and count the changed verdicts
    Whatif(WhatIfArgs),
    /// Time the stages of the model on this machine
    Bench(BenchArgs),
    /// Read the record of verdicts: counts, export, and a check that no part is missing or double
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// List the cameras that `run` could open, with their formats
    Cameras(CamerasArgs),
    /// Try what a station opens: broker, cameras, disk, clock, model, ports, files; without --config, examine this machine
    Doctor(DoctorArgs),
    /// Write man pages and completions for shells: for packages and the installer
    #[command(hide = true)]
    Manual(ManualArgs),
}

/// An address that only this machine reaches.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "it is no address:port, such as 127.0.0.1:8080".to_owned())?;
    if !address.ip().is_loopback() {
        return Err("other machines reach it, and a demonstration has no token; take 127.0.0.1, or `diad run` \
                    with http.token_file"
            .to_owned());
    }
    Ok(address)
}

/// `diad demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Parts to judge before the summary; 0 goes on until Ctrl-C
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub parts: u64,
    /// Seed of the rendered parts; the same seed gives the same parts
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Address of the dashboard, one of this machine alone; 127.0.0.1:8080 unless given or taken
    #[arg(long, value_name = "ADDR", value_parser = loopback)]
    pub http: Option<SocketAddr>,
    /// Address on which the embedded broker listens; a free port of this machine unless given
    #[arg(long, value_name = "ADDR")]
    pub mqtt: Option<SocketAddr>,
    /// Print the summary as one JSON document
    #[arg(long)]
    pub json: bool,
    /// Write the rendered parts as a data set in MVTec-AD layout instead of judging them
    #[arg(long, value_name = "DIR")]
    pub write_dataset: Option<PathBuf>,
}

/// `diad run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Settings of the station
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}

/// `diad check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Settings of the station
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Images to judge
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    /// Model bundle
    #[arg(long, value_name = "DIR", default_value_os_t = default_folder())]
    pub model: PathBuf,
    /// Thresholds to judge by: those of --product, else their `default`
    #[arg(long, value_name = "FILE")]
    pub thresholds: Option<PathBuf>,
    /// The product that the images show: judged as it was learnt
    #[arg(long, value_name = "P", value_parser = ProductName::try_new)]
    pub product: Option<ProductName>,
    /// Write reconstruction, heat map and overlay as PNG
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write the intermediate arrays as .npy
    #[arg(long, value_name = "DIR")]
    pub dump: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder of the data set
    #[arg(value_name = "DATASET")]
    pub dataset: PathBuf,
    /// Model bundle; by default that of --config with its steps, else the program's own
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Thresholds to judge by as well, under their `roi` and `ignore`: verdicts against the truth, and lines in the plots
    #[arg(long, value_name = "FILE")]
    pub thresholds: Option<PathBuf>,
    /// Which camera took the pictures
    #[command(flatten)]
    pub camera: CameraArgs,
    /// Another model to measure on the same parts: a table of both, their ROC, and the front of time and accuracy. May be given
    /// more than once
    #[arg(long, value_name = "DIR")]
    pub compare: Vec<PathBuf>,
    /// Such a table of what the diffusion model, the banks (a nearest-neighbour detector), and each witness would come to without
    /// the others; --compare has it too
    #[arg(long)]
    pub witnesses: bool,
    /// Write an HTML report with plots
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Which camera took the pictures of a folder.
#[derive(Debug, Args)]
pub struct CameraArgs {
    /// Settings of the station whose camera took the pictures: its `roi` is what is looked at. Without, the whole picture
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which of its cameras, where their `roi` differ
    #[arg(long, value_name = "ID", requires = "config")]
    pub camera: Option<String>,
}

/// `diad calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Folder of good parts that the model never saw: `PRODUCT/good` or `PRODUCT/test/good`; other folders below
    /// `PRODUCT/test` are defects. `PRODUCT/train/good` is left out: parts that the model was trained on score too low
    #[arg(value_name = "DATASET", required_unless_present = "ledger", conflicts_with = "ledger")]
    pub dataset: Option<PathBuf>,
    /// Take `PRODUCT/train/good` as well: for a folder of which the model never saw any part
    #[arg(long, conflicts_with = "ledger")]
    pub include_train: bool,
    /// Which camera took the pictures
    #[command(flatten)]
    pub camera: CameraArgs,
    /// Take the recorded parts of this ledger instead, all as good except those marked as bad on the page
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub ledger: Option<PathBuf>,
    /// Start of the capture times, included: such as 2026-01-31 (midnight UTC) or 2026-01-31T08:00:00Z
    #[arg(long, value_name = "T", value_parser = moment::parse, requires = "ledger")]
    pub since: Option<Moment>,
    /// End of the capture times, not included
    #[arg(long, value_name = "T", value_parser = moment::parse, requires = "ledger")]
    pub until: Option<Moment>,
    /// Model bundle; by default that of --config with its steps, else the program's own
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Largest share of good parts that may be rejected
    #[arg(long, value_name = "SHARE", default_value_t = 0.005)]
    pub max_false_reject: f64,
    /// Largest share of good parts that may go to review; ten times --max-false-reject unless given
    #[arg(long, value_name = "SHARE")]
    pub max_review: Option<f64>,
    /// Confidence level of both shares
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    pub confidence: f64,
    /// Write the cut-offs into this thresholds file; comments and all else stay. Parts of a folder are judged under its
    /// `roi` and `ignore`; recorded ones keep the score they were given
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Show what would be written
    #[arg(long, requires = "write")]
    pub dry_run: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad learn`.
#[derive(Debug, Args)]
pub struct LearnArgs {
    /// The product, as the `product` topic and the thresholds name it
    #[arg(long, value_name = "P", value_parser = ProductName::try_new)]
    pub product: ProductName,
    /// Folder of good parts: PNG or JPEG files in it, in its `good` or its `train/good`
    #[arg(value_name = "GOOD_DIR", required_unless_present = "from_ledger", conflicts_with = "from_ledger")]
    pub parts: Option<PathBuf>,
    /// Model bundle; by default that of --config with its steps, else the program's own
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Which camera took the pictures. The cut-offs and the bank's name go into the thresholds file of --config, where a
    /// running station takes them over
    #[command(flatten)]
    pub camera: CameraArgs,
    /// Learn with this foundation alone; may be given more than once. All that are at hand unless given
    #[arg(long, value_name = "NAME", conflicts_with_all = ["add", "from_ledger"])]
    pub foundation: Vec<String>,
    /// Add to what was learnt before, instead of learning from these parts alone
    #[arg(long)]
    pub add: bool,
    /// Add recorded parts of the product that a person called good on the page (`False reject`). Shows which recorded
    /// verdicts would change; writes only with --yes
    #[arg(long, requires = "config", conflicts_with = "add")]
    pub from_ledger: bool,
    /// Accept what --from-ledger shows
    #[arg(long, requires = "from_ledger")]
    pub yes: bool,
    /// Largest share of good parts that may be rejected. Where the parts are too few to support it, the smallest share that
    /// they do support is taken, and printed
    #[arg(long, value_name = "SHARE", default_value_t = 0.005)]
    pub max_false_reject: f64,
    /// Largest share of good parts that may go to review; ten times --max-false-reject unless given
    #[arg(long, value_name = "SHARE")]
    pub max_review: Option<f64>,
    /// Confidence level of both shares
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    pub confidence: f64,
    /// Most patches that the bank of each foundation keeps
    #[arg(long, value_name = "N", default_value_t = 1500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rows: u32,
    /// Seed of the random choice of patches; the same parts with the same seed give the same bank
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seed: u64,
    /// Learn although parts stand out or look like two products; they are learnt as good ones
    #[arg(long)]
    pub force: bool,
    /// Show what would be learnt, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad unlearn`.
#[derive(Debug, Args)]
pub struct UnlearnArgs {
    /// The product
    #[arg(long, value_name = "P", value_parser = ProductName::try_new)]
    pub product: ProductName,
    /// Settings of the station that judges the product: its thresholds file is edited. Without, the state of this user
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take back the last step only
    #[arg(long, conflicts_with = "to")]
    pub undo: bool,
    /// Go back to this bank: `sha256:` and its digits, as `diad products` lists them; the first digits are enough
    #[arg(long, value_name = "DIGEST")]
    pub to: Option<String>,
    /// Delete every bank of the product that is no longer in use
    #[arg(long)]
    pub purge: bool,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad products`.
#[derive(Debug, Args)]
pub struct ProductsArgs {
    /// Settings of the station whose products they are; without, those of this user
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad whatif`.
#[derive(Debug, Args)]
pub struct WhatIfArgs {
    /// Thresholds file to apply to the recorded parts
    #[arg(long, value_name = "FILE")]
    pub thresholds: PathBuf,
    /// Start of the capture times, included: such as 2026-01-31 (midnight UTC) or 2026-01-31T08:00:00Z
    #[arg(long, value_name = "T", value_parser = moment::parse)]
    pub since: Option<Moment>,
    /// End of the capture times, not included
    #[arg(long, value_name = "T", value_parser = moment::parse)]
    pub until: Option<Moment>,
    /// Which ledger
    #[command(flatten)]
    pub file: LedgerFile,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Model bundle
    #[arg(long, value_name = "DIR", default_value_os_t = default_folder())]
    pub model: PathBuf,
    /// What computes the networks: auto, cpu, cuda or tensorrt
    #[arg(long, value_name = "P", default_value = "auto")]
    pub provider: Provider,
    /// Denoising steps, instead of the bundle's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub steps: Option<u32>,
    /// Judge the parts as this product was learnt on this machine, or as the bundle judges it
    #[arg(long, value_name = "P", value_parser = ProductName::try_new, conflicts_with = "rows")]
    pub product: Option<ProductName>,
    /// Judge the parts with a random bank of this many rows for every foundation at hand
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rows: Option<u32>,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad ledger`. None of it changes the ledger, and a daemon may write beside all of it.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Count what the ledger holds
    Stats(LedgerStatsArgs),
    /// Write verdicts as CSV or Parquet
    Export(LedgerExportArgs),
    /// Read every row and check that none is missing, double or damaged
    Verify(LedgerVerifyArgs),
}

/// Which ledger.
#[derive(Debug, Args)]
pub struct LedgerFile {
    /// Database file of the ledger; by default `ledger.path` of the built-in settings
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// Settings of the station whose ledger it is
    #[arg(long, value_name = "FILE", conflicts_with = "ledger")]
    pub config: Option<PathBuf>,
}

/// `diad ledger stats`.
#[derive(Debug, Args)]
pub struct LedgerStatsArgs {
    /// Which ledger
    #[command(flatten)]
    pub file: LedgerFile,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad ledger export`.
#[derive(Debug, Args)]
pub struct LedgerExportArgs {
    /// Which ledger
    #[command(flatten)]
    pub file: LedgerFile,
    /// File to write; standard output if not given or `-`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What to write; what the file's name ends in unless given
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ExportFormat>,
    /// Start of the capture times, included: such as 2026-01-31 (midnight UTC) or 2026-01-31T08:00:00Z
    #[arg(long, value_name = "T", value_parser = moment::parse)]
    pub since: Option<Moment>,
    /// End of the capture times, not included
    #[arg(long, value_name = "T", value_parser = moment::parse)]
    pub until: Option<Moment>,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
    /// Print one JSON document about the export
    #[arg(long, requires = "out")]
    pub json: bool,
}

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// For people and spreadsheets
    Csv,
    /// For notebooks and warehouses
    Parquet,
}

/// `diad ledger verify`.
#[derive(Debug, Args)]
pub struct LedgerVerifyArgs {
    /// Which ledger
    #[command(flatten)]
    pub file: LedgerFile,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad cameras`.
#[derive(Debug, Args)]
pub struct CamerasArgs {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Settings of a station: try everything that `run` would open. May be asked while the station runs, and disturbs it in
    /// nothing
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `diad manual`.
#[derive(Debug, Args)]
pub struct ManualArgs {
    /// Folder to write to: `man1/`, `bash/`, `zsh/`, `fish/`
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::error::ErrorKind> {
        Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind())
    }

    #[test]
    fn command_definitions_are_sound() {
        Cli::definition().debug_assert();
    }

    #[test]
    fn every_documented_command_line_is_taken() {
        for line in [
            "diad demo",
            "diad demo --parts 0 --seed 7 --http 127.0.0.1:8080 --mqtt 127.0.0.1:1883 --json --write-dataset d",
            "diad run --config c",
            "diad check --config c --json",
            "diad inspect a.png b.png --model m --thresholds t --out o --dump d --json",
            "diad eval set --model m --out o --json",
            "diad eval set --thresholds t --config c --camera cam0",
            "diad calibrate set --max-false-reject 0.005 --confidence 0.95 --write t --dry-run --json",
            "diad calibrate set --include-train --config c --camera cam0",
            "diad calibrate --ledger l --since 2026-01-31 --until 2026-02-01",
            "diad learn --product washer good --foundation a --foundation b --model m --rows 100 --seed 7 --dry-run --json --force",
            "diad learn --product washer good --add --config c --camera cam0 --max-false-reject 0.01 --confidence 0.9",
            "diad learn --product washer --from-ledger --config c --yes",
            "diad unlearn --product washer --config c --undo --dry-run --json",
            "diad unlearn --product washer --to sha256:12 --purge",
            "diad products --config c --json",
            "diad whatif --thresholds t --since 2026-01-31 --until 2026-02-01 --ledger l --json",
            "diad bench --model m --provider cuda --steps 3 --seconds 5 --json",
            "diad bench --product washer",
            "diad bench --rows 1500",
            "diad inspect a.png --product washer --thresholds t",
            "diad ledger stats --ledger l --json",
            "diad ledger export --config c",
            "diad ledger export --out o.csv --format parquet --since 2026-01-31 --until 2026-01-31T08:00:00+01:00 --force",
            "diad ledger export --ledger l --out o.csv --json",
            "diad ledger verify --config c --json",
            "diad cameras --json",
            "diad doctor --json",
            "diad doctor --config c --json",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn lines_that_make_no_sense_are_refused() {
        use clap::error::ErrorKind;
        for (line, want) in [
            ("diad", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("diad fly", ErrorKind::InvalidSubcommand),
            ("diad run", ErrorKind::MissingRequiredArgument),
            ("diad inspect", ErrorKind::MissingRequiredArgument),
            ("diad learn good", ErrorKind::MissingRequiredArgument),
            ("diad learn --product washer", ErrorKind::MissingRequiredArgument),
            ("diad learn --product a/b good", ErrorKind::ValueValidation),
            ("diad learn --product washer good --rows 10001", ErrorKind::ValueValidation),
            ("diad learn --product washer --from-ledger", ErrorKind::MissingRequiredArgument),
            ("diad learn --product washer good --yes", ErrorKind::MissingRequiredArgument),
            ("diad learn --product washer good --from-ledger --config c", ErrorKind::ArgumentConflict),
            ("diad unlearn", ErrorKind::MissingRequiredArgument),
            ("diad unlearn --product washer --undo --to sha256:12", ErrorKind::ArgumentConflict),
            ("diad bench --provider abacus", ErrorKind::ValueValidation),
            ("diad bench --steps 0", ErrorKind::ValueValidation),
            ("diad bench --rows 10001", ErrorKind::ValueValidation),
            ("diad bench --rows 5 --product washer", ErrorKind::ArgumentConflict),
            ("diad demo --parts -1", ErrorKind::UnknownArgument),
            ("diad demo --mqtt nowhere", ErrorKind::ValueValidation),
            ("diad demo --http 0.0.0.0:8080", ErrorKind::ValueValidation),
            ("diad demo --http [::]:8080", ErrorKind::ValueValidation),
            ("diad ledger", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("diad ledger stats --ledger l --config c", ErrorKind::ArgumentConflict),
            ("diad ledger export --since yesterday", ErrorKind::ValueValidation),
            ("diad ledger export --format xlsx", ErrorKind::InvalidValue),
            ("diad ledger export --json", ErrorKind::MissingRequiredArgument),
            ("diad calibrate", ErrorKind::MissingRequiredArgument),
            ("diad calibrate set --ledger l", ErrorKind::ArgumentConflict),
            ("diad calibrate set --dry-run", ErrorKind::MissingRequiredArgument),
            ("diad calibrate set --camera cam0", ErrorKind::MissingRequiredArgument),
            ("diad calibrate --ledger l --include-train", ErrorKind::ArgumentConflict),
            ("diad calibrate --ledger l --config c", ErrorKind::ArgumentConflict),
            ("diad whatif", ErrorKind::MissingRequiredArgument),
        ] {
            assert_eq!(parse(line).unwrap_err(), want, "{line}");
        }
    }
}
