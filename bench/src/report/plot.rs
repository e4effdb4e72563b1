//! One picture per result: latency by percentile, and throughput over time.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::table::load;
use crate::measure::STEP_NS;
use crate::result::{Document, Run};

const SIZE: (u32, u32) = (900, 760);
/// Of the upper part.
const CURVES_HEIGHT: u32 = 390;
const FONT: &str = "sans-serif";
const COLORS: [RGBColor; 5] = [
    RGBColor(0, 90, 181),
    RGBColor(220, 50, 32),
    RGBColor(90, 90, 90),
    RGBColor(0, 130, 90),
    RGBColor(170, 90, 200),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws the run whose `headline` is the median to `path`; nothing where it has no latencies.
///
/// # Errors
/// Where the file cannot be written.
pub fn draw(document: &Document, headline: &str, path: &Path) -> Result<()> {
    let Some(run) = document.median_run(headline) else { return Ok(()) };
    if run.curves.is_empty() {
        return Ok(());
    }
    let size =
        if run.steps.is_empty() && run.memory.is_empty() { (SIZE.0, CURVES_HEIGHT + 30) } else { SIZE };
    let root = SVGBackend::new(path, size).into_drawing_area();
    picture(document, run, &root).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn picture(document: &Document, run: &Run, root: &Area<'_>) -> Drawn {
    root.fill(&WHITE)?;
    let title = format!("{}: {}", document.name, load(document));
    let root = root.titled(&title, (FONT, 18))?;
    let (above, below) = root.split_vertically(CURVES_HEIGHT);
    curves(run, &above)?;
    if !run.memory.is_empty() {
        memory(run, &below)?;
    } else if !run.steps.is_empty() {
        series(run, &below)?;
    }
    root.present()?;
    Ok(())
}

fn name(what: &str) -> String {
    match what {
        "answer" => "command to answer".into(),
        "delivery" => "command to frame".into(),
        "last" => "command to the last session's frame".into(),
        "first" => "command to the first session's frame".into(),
        "quiet" => "command to frame, before".into(),
        "storm" => "command to frame, meanwhile".into(),
        "slow" => "command to frame, with slow sessions".into(),
        "suggestion" => "answer to suggestion".into(),
        "from_send" => "message's send to suggestion".into(),
        "others_on" => "other moves to frame, assistant on".into(),
        "others_off" => "other moves to frame, assistant off".into(),
        "away" => "loss of the connection to live again".into(),
        other => other.to_owned(),
    }
}

/// Percentiles are spaced by their nines: 90 %, 99 %, 99.9 % at equal distances.
fn curves(run: &Run, area: &Area<'_>) -> Drawn {
    let nines = |quantile: f64| -(1.0 - quantile).max(1e-9).log10();
    let points = || run.curves.values().flatten();
    let right = points().map(|point| nines(point.0)).fold(1.0, f64::max).ceil();
    let mut chart = ChartBuilder::on(area)
        .caption("Latency from the intended send time", (FONT, 15))
        .margin(10)
        .margin_right(40)
        .x_label_area_size(45)
        .y_label_area_size(75)
        .build_cartesian_2d(0.0..right, decades(points().map(|point| point.1 / 1e3)).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("percentile")
        .y_desc("latency, ms")
        .x_labels(right as usize + 1)
        .x_label_formatter(&|at| percentile(*at))
        .y_label_formatter(&|ms| format!("{ms}"))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    for ((what, curve), color) in run.curves.iter().zip(COLORS) {
        let line = curve.iter().map(|(quantile, us)| (nines(*quantile), us / 1e3));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(name(what))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    // On the right, curves are at their top.
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}

fn series(run: &Run, area: &Area<'_>) -> Drawn {
    let step_s = STEP_NS as f64 / 1e9;
    // The last step may be cut short by the end of the window.
    let steps = run.steps.get(..run.steps.len().saturating_sub(1)).unwrap_or_default();
    let rates = |of: fn(&(u64, u64, u64)) -> u64| {
        let points = steps.iter().enumerate();
        points.map(|(at, step)| (at as f64 * step_s, of(step) as f64 / step_s)).collect::<Vec<_>>()
    };
    let mut lines = vec![("answers", rates(|step| step.0))];
    if steps.iter().any(|step| step.1 > 0) {
        lines.push(("deliveries", rates(|step| step.1)));
    }
    let top = lines.iter().flat_map(|(_, line)| line).map(|point| point.1).fold(1.0, f64::max);
    let right = (run.steps.len() as f64 * step_s).max(step_s);
    let mut chart = ChartBuilder::on(area)
        .caption("Throughput", (FONT, 15))
        .margin(10)
        .margin_right(40)
        .x_label_area_size(45)
        .y_label_area_size(75)
        .build_cartesian_2d(0.0..right, 0.0..top * 1.25)?;
    chart
        .configure_mesh()
        .x_desc("time in the window, s")
        .y_desc("per second")
        .x_label_formatter(&|seconds| format!("{seconds:.1}"))
        .y_label_formatter(&|rate| format!("{rate:.0}"))
        .y_labels(6)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    for ((what, line), color) in lines.into_iter().zip(COLORS) {
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(what)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}

fn memory(run: &Run, area: &Area<'_>) -> Drawn {
    let top = run.memory.iter().map(|sample| sample.1).fold(1.0, f64::max);
    let right = run.memory.last().map_or(1.0, |sample| sample.0);
    let mut chart = ChartBuilder::on(area)
        .caption("Resident memory of the gateway", (FONT, 15))
        .margin(10)
        .margin_right(40)
        .x_label_area_size(45)
        .y_label_area_size(75)
        .build_cartesian_2d(0.0..right, 0.0..top * 1.25)?;
    chart
        .configure_mesh()
        .x_desc("time, s")
        .y_desc("MiB")
        .y_labels(6)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .light_line_style(WHITE.mix(0.0))
        .draw()?;
    chart.draw_series(LineSeries::new(run.memory.iter().copied(), COLORS[0].stroke_width(2)))?;
    Ok(())
}

fn legend<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    position: SeriesLabelPosition,
) -> Drawn
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    chart
        .configure_series_labels()
        .position(position)
        .margin(12)
        .background_style(WHITE.mix(0.85))
        .label_font((FONT, 13))
        .draw()?;
    Ok(())
}

/// Whole powers of ten around the values, in milliseconds.
fn decades(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .filter(|value| *value > 0.0)
        .fold((f64::MAX, 0.001), |(low, high), value| (f64::min(low, value), f64::max(high, value)));
    let low = 10_f64.powf(low.min(high).log10().floor());
    let high = 10_f64.powf(high.log10().ceil());
    // At least two, so that there is room for the legend.
    low.min(high / 100.0)..high
}

fn percentile(nines: f64) -> String {
    match nines.round() as u32 {
        0 => "0 %".into(),
        1 => "90 %".into(),
        2 => "99 %".into(),
        count => format!("99.{} %", "9".repeat(count as usize - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ends() {
        let around = decades([0.4, 23.0].into_iter());
        assert!((around.start - 0.1).abs() < 1e-9 && (around.end - 100.0).abs() < 1e-9);
        let none = decades(std::iter::empty());
        assert!(none.start < none.end);
        assert_eq!([0.0, 1.0, 2.0, 4.0].map(percentile), ["0 %", "90 %", "99 %", "99.99 %"]);
    }
}
