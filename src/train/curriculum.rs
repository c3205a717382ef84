//! The order of training rows from easy to hard: found once, and kept with the run.

use super::TrainError;
use super::memory::Meter;
use super::objective;
use super::report::Reporter;
use super::validate::{Measured, loss_of};
use crate::base::{Control, Unit};
use crate::data::prepare::Dataset;
use crate::data::{Sample, number};
use crate::model::hooks::NoHooks;
use crate::model::load::LoadedModel;
use crate::project::event::Phase;
use crate::project::{RunEvent, RunFolder};
use crate::recipe::recipe::OrderBy;
use crate::recipe::{Plan, Task};

/// What rows are graded with.
#[derive(Clone, Copy)]
pub struct Grading<'a> {
    pub plan: &'a Plan,
    pub model: &'a LoadedModel,
    pub datasets: &'a [Dataset],
    pub folder: &'a RunFolder,
    pub meter: &'a Meter<'a>,
}

/// The training rows of each task by their places in the split, the first to be learnt first; none where rows are shuffled. What a run
/// found once is read again. `Ok(None)` when stopped.
///
/// # Errors
/// Those of the model, of the file that keeps it, and a limit of memory that is too small for a row.
pub fn orders(
    grading: Grading,
    control: &Control,
    reporter: &mut Reporter,
) -> Result<Option<Vec<Vec<usize>>>, TrainError> {
    let Grading { plan, datasets, folder, .. } = grading;
    let curriculum = &plan.recipe().curriculum;
    if !curriculum.is_on() {
        return Ok(Some(Vec::new()));
    }
    let num_rows = || datasets.iter().map(|data| data.split.train.len());
    if let Some(kept) = folder.orders().filter(|kept| kept.iter().map(Vec::len).eq(num_rows())) {
        return Ok(Some(kept));
    }
    let mut orders = Vec::new();
    for (task, dataset) in objective::tasks(plan, datasets).iter().zip(datasets) {
        let samples: Vec<&Sample> = dataset.split.train.iter().map(|row| &dataset.samples[*row]).collect();
        let hardness = match &curriculum.by {
            OrderBy::Shuffled | OrderBy::Length => samples.iter().map(|sample| sample.len() as f64).collect(),
            OrderBy::Column(name) => numbers(dataset, name),
            OrderBy::Loss => match losses(task, &samples, grading, control, reporter)? {
                Some(losses) => losses,
                None => return Ok(None),
            },
        };
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by(|a, b| {
            let rising = hardness[*a].total_cmp(&hardness[*b]);
            if curriculum.descending { rising.reverse() } else { rising }
        });
        orders.push(order);
    }
    folder.save_orders(&orders)?;
    Ok(Some(orders))
}

/// The numbers of a column of the training rows.
fn numbers(dataset: &Dataset, name: &str) -> Vec<f64> {
    let column = dataset.table.columns.iter().find(|column| column.name == name);
    let of_row = |row: &usize| column.and_then(|column| number(column.get(dataset.rows[*row].index)));
    dataset.split.train.iter().map(|row| of_row(row).unwrap_or(f64::NAN)).collect()
}

/// The mean loss of each sample, by the model as it was before the run.
fn losses(
    task: &Task,
    samples: &[&Sample],
    grading: Grading,
    control: &Control,
    reporter: &mut Reporter,
) -> Result<Option<Vec<f64>>, TrainError> {
    let Grading { plan, model, meter, .. } = grading;
    reporter.send(RunEvent::Phase { phase: Phase::Grading })?;
    let objective = objective::of(task, model, Vec::new())?;
    let budget_tokens = plan.recipe().batch.micro_batch_tokens;
    let measured = Measured { model, hooks: &NoHooks, objective: &*objective, budget_tokens };
    let mut losses = Vec::with_capacity(samples.len());
    for (index, sample) in samples.iter().enumerate() {
        reporter.wait_while_paused(control, Phase::Grading)?;
        let of_one = loss_of(measured, &[*sample], &mut |_| Ok(!control.is_stopped()), &|| meter.look())?;
        let Some(total) = of_one else { return Ok(None) };
        losses.push(total.mean());
        let (done, all) = (index as u64 + 1, samples.len() as u64);
        reporter.progress().report("Measuring how hard each row is", done, Some(all), Unit::Rows);
    }
    Ok(Some(losses))
}
