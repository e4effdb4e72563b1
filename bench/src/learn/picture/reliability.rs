//! The reliability diagram: how often answers of a confidence are right, and how many there are of it.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use super::{Area, Axis, Document, Drawn, FONT, GREY, Line, Lines, Role, Stroke, canvas, color};
use crate::learn::document::Row;
use crate::learn::score::BINS;

const SIZE: (u32, u32) = (980, 640);
/// Of the upper part.
const CURVES_HEIGHT: u32 = 400;
/// Bins with fewer messages say nothing.
const COUNT_MIN: u64 = 10;

/// Draws it for all learners whose confidence is a probability; nothing where there are none.
pub(super) fn draw(document: &Document, path: &Path) -> Result<()> {
    let rows: Vec<&Row> = document.rows.iter().filter(|row| !row.bins.is_empty()).collect();
    let Some(first) = rows.first() else { return Ok(()) };
    let data = &document.data;
    let title = format!(
        "{}: is it as sure as it is right? {} texts in scope, {} out of scope",
        document.name, data.test_texts, data.oos_texts
    );
    canvas(path, SIZE, &title, |root| {
        let (above, below) = root.split_vertically(CURVES_HEIGHT);
        lines(document, &rows).paint(&above)?;
        counts(document, first, &below)
    })
}

fn lines(document: &Document, rows: &[&Row]) -> Lines {
    let mut lines: Vec<Line> = rows
        .iter()
        .map(|row| {
            let error = row.mean.get("ece_percent").copied().unwrap_or_default();
            let filled = row.bins.iter().filter(|bin| bin.count >= COUNT_MIN);
            Line {
                name: format!("{}: ECE {error:.1} %", row.name),
                points: filled.map(|bin| (bin.confidence * 100.0, bin.right * 100.0)).collect(),
                band: Vec::new(),
                stroke: match row.role {
                    Role::Ours => Stroke::Bold,
                    Role::Baseline => Stroke::Thin,
                    Role::Peer => Stroke::Dashed,
                },
                color: color(document, row),
            }
        })
        .collect();
    lines.push(Line {
        name: "as sure as right".into(),
        points: vec![(0.0, 0.0), (100.0, 100.0)],
        band: Vec::new(),
        stroke: Stroke::Thin,
        color: GREY,
    });
    let axis =
        |name: &str| Axis { name: name.into(), low: 0.0, high: 100.0, is_logarithmic: false, ticks: 11 };
    Lines {
        title: String::new(),
        note: format!(
            "ECE: expected calibration error,\n{BINS} bins; above the diagonal: too modest,\nbelow: too sure; bins of under {COUNT_MIN} left out"
        ),
        x: axis("confidence, %"),
        y: axis("answers that are right, %"),
        lines,
    }
}

/// How the messages are spread over the bins: right ones and others, of Waggle's own.
fn counts(document: &Document, row: &Row, area: &Area<'_>) -> Drawn {
    let (left, right) = area.split_horizontally(SIZE.0.saturating_sub(270));
    let all = row.bins.iter().map(|bin| bin.count).sum::<u64>().max(1) as f64;
    let share = |count: f64| count / all * 100.0;
    let top = row.bins.iter().map(|bin| share(bin.count as f64)).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&left)
        .margin(10)
        .margin_right(24)
        .x_label_area_size(45)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..100.0, 0.0..top * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("confidence, %")
        .y_desc("of all messages, %")
        .x_labels(BINS + 1)
        .y_labels(5)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .disable_x_mesh()
        .light_line_style(WHITE.mix(0.0))
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;
    let color = color(document, row);
    let width = 100.0 / BINS as f64;
    for (place, bin) in row.bins.iter().enumerate() {
        let (from, to) = (place as f64 * width + 0.8, (place + 1) as f64 * width - 0.8);
        let (good, whole) = (share(bin.count as f64 * bin.right), share(bin.count as f64));
        let bars = [
            Rectangle::new([(from, 0.0), (to, good)], color.filled()),
            Rectangle::new([(from, good), (to, whole)], GREY.mix(0.6).filled()),
        ];
        chart.draw_series(bars)?;
    }
    let legend =
        [(format!("{}: right", row.name), color.mix(1.0)), ("wrong or out of scope".into(), GREY.mix(0.6))];
    for (place, (text, color)) in legend.into_iter().enumerate() {
        let height = 24 + 22 * place as i32;
        right.draw(&Rectangle::new([(4, height), (32, height + 13)], color.filled()))?;
        right.draw(&Text::new(text, (40, height), (FONT, 13).into_font().color(&BLACK)))?;
    }
    Ok(())
}
