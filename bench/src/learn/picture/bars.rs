//! All learners side by side: a panel for each figure, a bar for each learner.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use super::{Area, COLORS, Document, Drawn, FONT, GREY, Role, canvas};
use crate::learn::document::Row;

const WIDTH: u32 = 980;
const TITLE_HEIGHT: u32 = 40;
/// Of a panel's caption, and of a bar.
const CAPTION_HEIGHT: u32 = 44;
const BAR_HEIGHT: u32 = 24;
const NAME_WIDTH: i32 = 130;

/// A figure, its caption and digits behind the point. Of several names the first that a row has.
struct Panel {
    figures: &'static [&'static str],
    caption: &'static str,
    digits: usize,
    has_spread: bool,
}

const PANELS: [Panel; 10] = [
    panel(&["accuracy_percent"], "right answers in scope, %", 1, true),
    panel(&["one_accuracy_percent"], "after one pass, each example seen once, %", 1, true),
    panel(&["few_1_first_percent"], "after one example of each intent, %", 1, true),
    panel(&["few_5_first_percent"], "after five, %", 1, true),
    panel(&["auroc"], "in scope told from out of scope, AUROC", 3, true),
    panel(&["recall_at_95_percent"], "answered right at 95 % precision, %", 1, true),
    panel(&["answer_p50_us"], "time for an answer, median, µs", 0, false),
    panel(&["answer_p99_us"], "time for an answer, p99, µs", 0, false),
    panel(&["train_s"], "time for the training set, s", 2, false),
    panel(&["memory_mib", "resident_mib"], "memory, MiB (grey: growth of the process)", 1, false),
];

const fn panel(
    figures: &'static [&'static str],
    caption: &'static str,
    digits: usize,
    has_spread: bool,
) -> Panel {
    Panel { figures, caption, digits, has_spread }
}

/// Draws it.
pub(super) fn draw(document: &Document, path: &Path) -> Result<()> {
    let rows: Vec<&Row> = document.rows.iter().filter(|row| row.problem.is_none()).collect();
    let panels: Vec<&Panel> =
        PANELS.iter().filter(|panel| rows.iter().any(|row| value(row, panel).is_some())).collect();
    let lines = panels.len().div_ceil(2).max(1) as u32;
    let height = TITLE_HEIGHT + lines * (CAPTION_HEIGHT + BAR_HEIGHT * rows.len() as u32);
    let data = &document.data;
    let title = format!(
        "{}: {} intents, {} texts learned, {} asked, means of {} orders",
        document.name,
        data.intents,
        data.train_texts,
        data.test_texts + data.oos_texts,
        document.settings.shuffles
    );
    canvas(path, (WIDTH, height), &title, |root| {
        let areas = root.split_evenly((lines as usize, 2));
        areas.iter().zip(panels).try_for_each(|(area, panel)| bars(&rows, panel, area))
    })
}

fn value(row: &Row, panel: &Panel) -> Option<f64> {
    panel.figures.iter().find_map(|figure| row.mean.get(*figure).copied())
}

fn bars(rows: &[&Row], panel: &Panel, area: &Area<'_>) -> Drawn {
    let top = rows.iter().filter_map(|row| value(row, panel)).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(panel.caption, (FONT, 15))
        .margin_left(10)
        .margin_right(10)
        .margin_bottom(8)
        .y_label_area_size(NAME_WIDTH)
        // Room for the figure behind the longest bar.
        .build_cartesian_2d(0.0..top * 1.35, (rows.len() as f64)..0.0)?;
    chart.configure_mesh().disable_mesh().disable_axes().draw()?;
    for (place, row) in rows.iter().enumerate() {
        let figure = value(row, panel);
        let color = match row.role {
            Role::Ours => COLORS[0],
            Role::Baseline => COLORS[5],
            Role::Peer => GREY,
        };
        let end = figure.unwrap_or_default().max(0.0);
        let bar = Rectangle::new([(0.0, place as f64 + 0.15), (end, place as f64 + 0.85)], color.filled());
        chart.draw_series(std::iter::once(bar))?;
        let spread = panel.figures.iter().find_map(|figure| row.spread.get(*figure));
        let label = match (figure, spread.filter(|_| panel.has_spread)) {
            (None, _) => "–".to_owned(),
            (Some(value), None) => format!("{value:.*}", panel.digits),
            (Some(value), Some(spread)) => {
                format!("{value:.*} ± {spread:.*}", panel.digits, panel.digits)
            }
        };
        let middle = place as f64 + 0.5;
        let style = (FONT, 13).into_font().color(&BLACK);
        let behind = EmptyElement::at((end, middle)) + Text::new(label, (6, -6), style.clone());
        chart.draw_series(std::iter::once(behind))?;
        let name =
            EmptyElement::at((0.0, middle)) + Text::new(row.name.clone(), (-NAME_WIDTH + 4, -6), style);
        chart.draw_series(std::iter::once(name))?;
    }
    Ok(())
}
