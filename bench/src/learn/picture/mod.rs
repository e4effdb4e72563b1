//! Pictures of what was learned.

mod bars;
mod lines;
mod reliability;

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::document::{Document, Role, Row};
pub(super) use lines::{Axis, Line, Lines, Stroke};

pub(super) const FONT: &str = "sans-serif";
/// Colours that are told apart by all eyes (Okabe and Ito, 2008).
pub(super) const COLORS: [RGBColor; 11] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    // More lines than there are such colours: darker ones of the same.
    RGBColor(120, 94, 0),
    RGBColor(0, 70, 110),
    RGBColor(130, 60, 100),
    RGBColor(0, 90, 60),
];
pub(super) const GREY: RGBColor = RGBColor(130, 130, 130);

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// Draws all pictures of a result: `NAME-curves.svg`, `NAME-calibration.svg` and `NAME-learners.svg`.
///
/// # Errors
/// Where a file cannot be written.
pub(super) fn draw(document: &Document, dir: &Path) -> Result<()> {
    let file = |what: &str| dir.join(format!("{}-{what}.svg", document.name));
    curves(document).draw(&file("curves"))?;
    reliability::draw(document, &file("calibration"))?;
    bars::draw(document, &file("learners"))
}

/// Draws with `paint` on an empty picture of this size.
pub(super) fn canvas(
    path: &Path,
    size: (u32, u32),
    title: &str,
    paint: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<()> {
    let draw = || -> Drawn {
        let root = SVGBackend::new(path, size).into_drawing_area();
        root.fill(&WHITE)?;
        paint(&root.titled(title, (FONT, 18))?)?;
        root.present()?;
        Ok(())
    };
    draw().map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

/// A row's colour: Waggle's own first, so it has the same one in all pictures.
pub(super) fn color(document: &Document, row: &Row) -> RGBColor {
    let shown = document.rows.iter().filter(|row| row.problem.is_none());
    let place = shown.into_iter().position(|other| other.name == row.name).unwrap_or_default();
    COLORS.get(place % COLORS.len()).copied().unwrap_or(BLACK)
}

/// Accuracy by examples seen; peers, which learn from all at once, are trained anew at each point.
fn curves(document: &Document) -> Lines {
    let mut lines = Vec::new();
    let all = document.data.train_texts as f64;
    let few = document.rows.iter().filter_map(|row| row.curve.first()).map(|point| point.examples as f64);
    let few = few.fold(all, f64::min);
    for (place, row) in document.rows.iter().filter(|row| row.problem.is_none()).enumerate() {
        let band = row.curve.iter().map(|point| (point.examples as f64, point.low, point.high));
        let last = row.curve.last().map_or(0.0, |point| point.mean);
        lines.push(Line {
            name: format!("{}: {last:.1} %", row.name),
            points: row.curve.iter().map(|point| (point.examples as f64, point.mean)).collect(),
            // Of one only: they would hide each other.
            band: if place == 0 { band.collect() } else { Vec::new() },
            stroke: match row.role {
                Role::Ours => Stroke::Bold,
                Role::Baseline => Stroke::Thin,
                Role::Peer => Stroke::Dashed,
            },
            color: color(document, row),
        });
    }
    let data = &document.data;
    Lines {
        title: format!(
            "{}: accuracy while learning, {} intents, {} texts asked",
            document.name, data.intents, data.test_texts
        ),
        note: format!(
            "one pass, mean (band: range) of {} orders;\ndashed: trained anew at each point, one order",
            document.settings.shuffles
        ),
        x: Axis { name: "examples seen".into(), low: few, high: all, is_logarithmic: true, ticks: 11 },
        y: Axis {
            name: "right answers in scope, %".into(),
            low: 0.0,
            high: 100.0,
            is_logarithmic: false,
            ticks: 11,
        },
        lines,
    }
}
