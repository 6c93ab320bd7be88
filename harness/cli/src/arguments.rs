//! The command line. Every option that a CI job may want to set once also has an environment variable.

mod cluster;
mod deploy;
mod doctor;
mod environment;
mod parse;
mod report;

pub(crate) use cluster::{ClusterArguments, ClusterCommand, ClusterKind, ClusterUpArguments};
pub(crate) use deploy::DeployArguments;
pub(crate) use doctor::DoctorArguments;
pub(crate) use environment::{BoundArguments, EnvironmentArguments, Wait};
pub(crate) use report::{CompareArguments, MergeArguments, ReportArguments, ReportCommand};

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use harness_model::scenario::Tag;
use harness_report::record::Shard;
use std::path::PathBuf;

/// What clap prints below the short help.
const FIRST_STEPS: &str = "\
First steps:
  meshproof doctor             what this machine lacks
  meshproof list               the scenarios
  meshproof explain routing    what they do, and what it takes to fail them
  meshproof run                all of them, on a cluster of its own";

/// What clap prints below the long help.
const EXIT_CODES: &str = "\
Exit codes:
  0    all selected scenarios passed
  1    a scenario failed, what was compared differs, or a private key was found
  2    wrong arguments or an invalid file
  3    the environment could not be prepared, or was lost
  4    nothing was selected
  5    a defect of meshproof itself
  11   inconclusive, or partial
  12   something of ours is left behind
  130  interrupted (143 by SIGTERM)";

/// Stands for the last run in the folder of `--artifacts`.
pub(crate) const LAST_RUN: &str = "latest";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Proves on a running deployment that a service mesh does what its configuration says.
#[derive(Debug, Parser)]
#[command(name = "meshproof", version, about, after_help = FIRST_STEPS, after_long_help = format!("{FIRST_STEPS}\n\n{EXIT_CODES}"), styles = STYLES)]
#[command(disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What all commands understand.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What all commands understand.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Common {
    /// The form of what is written to stdout
    #[arg(
        short,
        long,
        value_name = "FORM",
        value_enum,
        default_value_t,
        global = true,
        env = "MESHPROOF_OUTPUT"
    )]
    pub(crate) output: OutputForm,
    /// Whether to use colours
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        global = true,
        env = "MESHPROOF_COLOR"
    )]
    pub(crate) color: ColourChoice,
    /// Say more on stderr (twice: everything)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Say only what needs attention
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// The form of what is written to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// Lines for people
    #[default]
    Text,
    /// One JSON document at the end
    Json,
    /// One JSON object a line, as things happen
    Jsonl,
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColourChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<ColourChoice> for anstream::ColorChoice {
    fn from(choice: ColourChoice) -> Self {
        match choice {
            ColourChoice::Auto => Self::Auto,
            ColourChoice::Always => Self::Always,
            ColourChoice::Never => Self::Never,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring an environment up, run scenarios, judge them and take everything down
    ///
    /// Without a name all scenarios are run. The verdicts come on stdout as they are made, what goes on meanwhile on
    /// stderr; the artefact folder has the reports. Ctrl-C heals what is broken and takes everything down; a second one
    /// ends at once.
    Run(Box<RunArguments>),
    /// Show which scenarios there are
    List(ListArguments),
    /// Say in words what a scenario does and what it takes to fail it
    Explain(ExplainArguments),
    /// Judge a recorded history again, without a cluster
    Judge(JudgeArguments),
    /// Prove that the scenarios can fail: run them against seeded bugs
    ///
    /// Each scenario must pass with the faithful mesh, must catch the seeded bugs that the checked-in matrix names
    /// for it (by the expected checker, at the expected sidecar), and must not pass without a mesh. One line tells of each
    /// comparison as it is made; exit code 1 when any differs. A candidate (`--image`) counts where nothing has a seeded bug,
    /// so it is refused with `--without-faithful`.
    Selftest(Box<SelftestArguments>),
    /// Compare what runs reported, or put it together
    Report(ReportArguments),
    /// Keep a cluster for work by hand
    Cluster(ClusterArguments),
    /// Deploy the mesh onto a kept cluster and leave it there, for work by hand
    ///
    /// The cluster is brought up first where none of this name is kept. What is there of an earlier deployment is brought to
    /// what the options say now, so a candidate build takes the place of what runs; of another mesh (`--mesh`) that is there
    /// nothing is removed. `meshproof run --reuse NAME` with the same options runs scenarios on it; `meshproof cluster down
    /// NAME` takes it down.
    #[command(after_help = deploy::DEPLOY_EXAMPLES)]
    Deploy(Box<DeployArguments>),
    /// Check whether this machine has what a run needs
    Doctor(DoctorArguments),
    /// Remove what killed runs left behind
    Clean(CleanArguments),
    /// Write the manual pages, one for each command
    Man {
        /// The folder to write them into
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Which scenarios are meant.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SelectionArguments {
    /// Suites (`routing`), scenarios (`routing/own-zone`) or scenario files (`my.yaml`); absent: all
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Only scenarios whose name matches; with `!` in front only those that do not
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(crate) filter: Vec<String>,
    /// Only scenarios with this tag
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<TagArgument>,
    /// Only the K-th of N parts: of what is selected every N-th scenario, beginning with the K-th
    ///
    /// The same selection of the same version has the same parts on every machine. `meshproof report merge` puts the reports
    /// of all parts together.
    #[arg(long, value_name = "K/N", value_parser = parse::shard, env = "MESHPROOF_SHARD")]
    pub(crate) shard: Option<Shard>,
}

/// A tag on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TagArgument(pub(crate) Tag);

impl ValueEnum for TagArgument {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self(Tag::Gate),
            Self(Tag::Qa),
            Self(Tag::PreRelease),
            Self(Tag::Chaos),
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let help = match self.0 {
            Tag::Gate => "Before each merge",
            Tag::Qa => "By hand",
            Tag::PreRelease => "Before a release",
            Tag::Chaos => "Something is broken on purpose",
        };
        Some(clap::builder::PossibleValue::new(harness_model::words::tag(self.0)).help(help))
    }
}

/// What everybody understands who brings an environment up and runs scenarios in it.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExecutionArguments {
    /// Which scenarios.
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    /// Seed of everything random; absent: a new one, which the report names
    #[arg(long, value_name = "N", env = "MESHPROOF_SEED")]
    pub(crate) seed: Option<u64>,
    /// How many scenarios that do not disturb each other run at once, beside one that changes TLS
    #[arg(long, value_name = "N", default_value_t = 8, env = "MESHPROOF_PARALLEL", value_parser = parse::at_least_one)]
    pub(crate) parallel: usize,
    /// Leave the cluster standing at the end, for a look at it (`--keep` alone: always)
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = When::Never, num_args = 0..=1, require_equals = true, default_missing_value = "always")]
    pub(crate) keep: When,
    /// When logs and objects are collected into the artefact folder
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = When::OnFailure)]
    pub(crate) collect: When,
    /// The folder for artefacts; each run makes one of its own in it
    #[arg(
        long,
        value_name = "DIR",
        default_value = "artifacts",
        env = "MESHPROOF_ARTIFACTS"
    )]
    pub(crate) artifacts: PathBuf,
    /// Use a kept cluster (`meshproof deploy`, `meshproof cluster up`), and leave it standing
    #[arg(long, value_name = "NAME", conflicts_with = "topology")]
    pub(crate) reuse: Option<String>,
    /// What is deployed.
    #[command(flatten)]
    pub(crate) environment: EnvironmentArguments,
    /// The build that scenarios with a rollout put in place before the one under test, and which an upgrade goes from, as
    /// `--image` names one (`control-plane=in-use.tar`); absent: the programs under test once more, packed as another image
    ///
    /// Such a scenario goes down to this build and up again, under its load; while a fault is in force the build under test is
    /// put in place alone. Of an image that nodes pull by themselves no other build can be made: its pods are replaced by the
    /// same without this option.
    #[arg(long, value_name = "NAME=TAR|REF", value_parser = parse::pair)]
    pub(crate) upgrade_from: Vec<(String, String)>,
    /// How long things may take.
    #[command(flatten)]
    pub(crate) bounds: BoundArguments,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArguments {
    /// Run each scenario this often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
    /// Start no further scenario once one has failed
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// Run what did not pass in an earlier run, with its seed; absent: the last run in the folder of `--artifacts`
    ///
    /// RUN is an artefact folder or a report.json. What failed, could not be decided or was not reached is run again, all of it
    /// whatever shard this is; other options of that run have to be given again.
    #[arg(long, value_name = "RUN", num_args = 0..=1, require_equals = true, default_missing_value = LAST_RUN, conflicts_with = "names")]
    pub(crate) rerun_failed: Option<PathBuf>,
    /// A list of scenarios whose failure is known and excused until a day: they are run and shown, and do not count
    #[arg(long, value_name = "FILE", env = "MESHPROOF_QUARANTINE")]
    pub(crate) quarantine: Option<PathBuf>,
    /// Run the scenarios in an order drawn from the seed
    #[arg(long)]
    pub(crate) shuffle: bool,
    /// Say what would be run and where, and touch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Deploy the mesh with this seeded bug (tests of meshproof itself); `meshproof list --mutants` names them
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub(crate) mutant: Option<String>,
    /// What is not only a run's.
    #[command(flatten)]
    pub(crate) execution: ExecutionArguments,
}

/// When something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// Never
    Never,
    /// When a scenario did not pass
    OnFailure,
    /// Always
    Always,
}

/// Arguments of `list`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ListArguments {
    /// Which scenarios.
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    /// List the seeded bugs that they must catch instead, the values of `--mutant`
    #[arg(long)]
    pub(crate) mutants: bool,
    /// Say what would be skipped with this cluster shape
    #[arg(
        long,
        value_name = "NAME|FILE",
        default_value = "three-zones",
        env = "MESHPROOF_TOPOLOGY"
    )]
    pub(crate) topology: String,
    /// Say what would be skipped with this mesh
    #[arg(
        long,
        value_name = "NAME|FILE",
        default_value = "reference",
        env = "MESHPROOF_MESH"
    )]
    pub(crate) mesh: String,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExplainArguments {
    /// Which scenarios.
    #[command(flatten)]
    pub(crate) selection: SelectionArguments,
    /// Print the YAML form, ready to be changed and run
    #[arg(long)]
    pub(crate) yaml: bool,
    /// Print the JSON Schema of scenario files, for editors
    #[arg(long, conflicts_with_all = ["names", "yaml", "reference"])]
    pub(crate) schema: bool,
    /// Print every word of scenario and topology files with what it means
    #[arg(long, conflicts_with_all = ["names", "yaml"])]
    pub(crate) reference: bool,
}

/// Arguments of `judge`.
#[derive(Clone, Debug, Args)]
pub(crate) struct JudgeArguments {
    /// History files (`history.jsonl`), or folders with one; `-` reads stdin
    #[arg(value_name = "HISTORY", required = true)]
    pub(crate) histories: Vec<PathBuf>,
}

/// Arguments of `selftest`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SelftestArguments {
    /// Leave out the control group without a mesh
    #[arg(long)]
    pub(crate) without_absent: bool,
    /// Leave out the faithful mesh, which a run has shown to pass already
    #[arg(long)]
    pub(crate) without_faithful: bool,
    /// Leave out comparisons that nothing rests on: other scenarios catch the bug, other bugs fail the scenario
    #[arg(long)]
    pub(crate) without_extra: bool,
    /// As for a run, on every mutant.
    #[command(flatten)]
    pub(crate) execution: ExecutionArguments,
}

/// Arguments of `clean`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CleanArguments {
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[cfg(test)]
mod tests;
