//! How does an installation move between one process and services?
//!
//! The source is only read until all has arrived and was checked; then it is marked as
//! moved, and after that the target as whole. At every moment at most one of them can be
//! started, whenever the move is killed, and running it again ends it.

mod sides;

use anyhow::{Context as _, bail};
use quaestor_core::failpoint;
use quaestor_core::ports::store::{Standing, Table};
use quaestor_core::transfer::{self, Damaged, Files, Tell};

use super::World;
use super::backup::FROM_BUNDLE;
use crate::config::Settings;
use sides::{Side, Sides};

/// Where an installation is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// In the data folder, for one process.
    Embedded,
    /// On services, for several.
    Distributed,
}

/// What is wanted of a move.
#[derive(Clone, Debug)]
pub struct MoveRequest {
    /// Which way.
    pub to: To,
    /// Whether a target that was moved away itself is emptied first.
    pub replace: bool,
    /// The embedded store, where it is not in the data folder: `sqlite:<file>`.
    pub embedded_database: Option<String>,
    /// The embedded files, where they are not in the data folder.
    pub embedded_objects: Option<String>,
}

/// What a move begins with.
#[derive(Debug)]
pub struct Moving {
    /// Where the installation is, for people.
    pub from: String,
    /// Where it goes, for people.
    pub to: String,
    /// How many rows each table has.
    pub rows: Vec<(Table, u64)>,
    /// Whether the files stay where they are: both sides name the same place.
    pub files_stay: bool,
}

/// What a move has done.
#[derive(Debug)]
pub struct MoveReport {
    /// How many rows were copied and compared.
    pub rows: u64,
    /// The files that were copied and compared.
    pub files: Files,
    /// Files that are damaged and that nobody misses, since they could never be read.
    pub excused: Vec<Damaged>,
}

/// Checks that the move can be made, tells what it would move, and makes it where `begin`
/// says so.
///
/// # Errors
/// One sentence for each thing that is in the way; and where what has arrived is not what
/// was sent. The source is then as it was.
pub async fn move_installation(
    settings: &Settings,
    request: &MoveRequest,
    begin: &(dyn Fn(&Moving) -> anyhow::Result<bool> + Send + Sync),
    tell: Tell<'_>,
) -> anyhow::Result<Option<MoveReport>> {
    let world = World::of_process();
    let mut sides = Sides::hold(&settings.config, request, &world).await?;
    let source = sides.open_source(&world).await?;
    let worked = async {
        let left = source.store.standing().await.context("looking at the source")?;
        refuse_source(&left, &source, request)?;
        sides.refuse_full_target(&left, request, &world).await?;
        let moving = Moving {
            from: source.place.clone(),
            to: sides.target_place.clone(),
            rows: transfer::count_rows(&*source.store).await?,
            files_stay: sides.files_stay,
        };
        if !begin(&moving)? {
            return Ok(None);
        }
        let target = sides.open_target(&world).await?;
        let report = arrive(&mut sides, &source, &target, &world, tell).await;
        target.close().await;
        report.map(Some)
    };
    let worked = worked.await;
    source.close().await;
    sides.release().await;
    worked
}

fn refuse_source(left: &Standing, source: &Side, request: &MoveRequest) -> anyhow::Result<()> {
    match left {
        // Of a source that was marked already, `refuse_full_target` looks at the target.
        Standing::Whole | Standing::Moved { .. } => Ok(()),
        Standing::Arriving { from, .. } if from.starts_with(FROM_BUNDLE) => bail!(
            "{} is not whole: a restore from {from} has not ended; end it with `quaestor restore`",
            source.place
        ),
        Standing::Arriving { from, .. } => {
            let other = match request.to {
                To::Embedded => "distributed",
                To::Distributed => "embedded",
            };
            bail!(
                "{} is not whole: a move from {from} has not ended; end it with `quaestor move \
                 --to {other}`, or give it up with `--undo`",
                source.place
            )
        }
    }
}

/// Copies and checks everything, and puts the marks.
async fn arrive(
    sides: &mut Sides,
    source: &Side,
    target: &Side,
    world: &World,
    tell: Tell<'_>,
) -> anyhow::Result<MoveReport> {
    let now = world.clock.now();
    let arriving = Standing::Arriving { from: source.place.clone(), since: now };
    target.store.set_standing(&arriving).await.context("marking the target")?;
    // What a move left that was broken off, or the installation that was moved away.
    empty(target, sides.files_stay).await?;
    transfer::copy_rows(&*source.store, &*target.store, tell).await?;
    let (files, damaged) = if sides.files_stay {
        transfer::check_objects(&*source.store, &*source.objects, tell).await?
    } else {
        transfer::copy_objects(&*source.store, &*source.objects, &*target.objects, tell).await?
    };
    let excused = excuse(damaged, "at the source; restore it, or delete its document there")?;
    if let Err(error) = target.store.upkeep().await {
        // Search works without, only slower; and a worker builds them.
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "the indexes of vectors are not built yet");
    }
    failpoint::hit("move.before_check");

    let (rows, differences) = transfer::check_rows(&*source.store, &*target.store, tell).await?;
    if let Some(first) = differences.first() {
        bail!(
            "what has arrived is not what was sent ({} tables differ): {first}; the source is as \
             it was; run the move again",
            differences.len()
        );
    }
    if !sides.files_stay {
        let (arrived, damaged) =
            transfer::check_objects(&*target.store, &*target.objects, tell).await?;
        excuse(damaged, "at the target; run the move again")?;
        if arrived != files {
            bail!(
                "{} files were sent and {} arrived; run the move again",
                files.files,
                arrived.files
            );
        }
    }
    sides.still_alone().await?;
    let moved = Standing::Moved { to: target.place.clone(), at: world.clock.now() };
    source.store.set_standing(&moved).await.context("marking the source as moved")?;
    failpoint::hit("move.between_marks");
    target.store.set_standing(&Standing::Whole).await.context("marking the target as whole")?;
    Ok(MoveReport { rows, files, excused })
}

/// Removes every file and row of a side.
async fn empty(side: &Side, files_stay: bool) -> anyhow::Result<()> {
    if !files_stay {
        transfer::remove_objects(&*side.store, &*side.objects).await?;
    }
    side.store.clear().await.context("emptying the target")
}

/// The damaged files whose documents say that they could not be used; an error for others.
fn excuse(damaged: Vec<Damaged>, mend: &str) -> anyhow::Result<Vec<Damaged>> {
    let (excused, missed): (Vec<_>, Vec<_>) = damaged.into_iter().partition(|one| one.failed);
    let Some(first) = missed.first() else { return Ok(excused) };
    let more = match missed.len() {
        1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    bail!("{first}{more}, {mend}")
}

/// Gives a move up: the source can be started again. What an unfinished move has left at
/// the target is removed; a target that was whole is marked as moved back and kept. Returns
/// a sentence about what was done. With `target_is_gone` the target is not looked at.
///
/// # Errors
/// Where there is nothing to give up, or a side cannot be opened.
pub async fn undo_move(
    settings: &Settings,
    request: &MoveRequest,
    target_is_gone: bool,
) -> anyhow::Result<String> {
    let world = World::of_process();
    let mut sides = if target_is_gone {
        Sides::hold_source(&settings.config, request, &world).await?
    } else {
        Sides::hold(&settings.config, request, &world).await?
    };
    let source = sides.open_source(&world).await?;
    let undone = undo(&mut sides, &source, &world, target_is_gone).await;
    source.close().await;
    sides.release().await;
    undone
}

async fn undo(
    sides: &mut Sides,
    source: &Side,
    world: &World,
    target_is_gone: bool,
) -> anyhow::Result<String> {
    let moved = match source.store.standing().await.context("looking at the source")? {
        Standing::Moved { .. } => true,
        Standing::Whole => false,
        Standing::Arriving { from, .. } => {
            bail!("{} is itself the target of a move from {from}", source.place)
        }
    };
    let mut done = Vec::new();
    if !target_is_gone && sides.target_exists().await? {
        let target = sides.open_target(world).await?;
        let given_up = give_up_target(source, &target, moved, sides.files_stay, world).await;
        target.close().await;
        done.extend(given_up?);
    }
    if moved {
        source.store.set_standing(&Standing::Whole).await.context("unmarking the source")?;
        done.push(format!("{} can be started again", source.place));
    }
    if done.is_empty() {
        bail!("there is no move from {} to give up", source.place);
    }
    Ok(done.join("; "))
}

async fn give_up_target(
    source: &Side,
    target: &Side,
    moved: bool,
    files_stay: bool,
    world: &World,
) -> anyhow::Result<Option<String>> {
    match target.store.standing().await.context("looking at the target")? {
        Standing::Arriving { .. } => {
            empty(target, files_stay).await?;
            target.store.set_standing(&Standing::Whole).await.context("unmarking the target")?;
            Ok(Some(format!("what had arrived at {} is removed", target.place)))
        }
        Standing::Whole if moved && holds_something(target).await? => {
            let back = Standing::Moved { to: source.place.clone(), at: world.clock.now() };
            target.store.set_standing(&back).await.context("marking the target")?;
            Ok(Some(format!("{} is kept, and no longer starts", target.place)))
        }
        Standing::Whole | Standing::Moved { .. } => Ok(None),
    }
}

async fn holds_something(side: &Side) -> anyhow::Result<bool> {
    let first = side.store.first_workspace().await.context("looking for a workspace")?;
    Ok(first.is_some())
}
