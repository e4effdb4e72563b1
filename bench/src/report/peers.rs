//! One picture for several servers under the same load: a bar for each, by figure.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::table::load;
use crate::result::Document;
use crate::scenario::{Column, Scenario};

const WIDTH: u32 = 900;
const TITLE_HEIGHT: u32 = 40;
/// Of a panel's caption, and of a bar.
const CAPTION_HEIGHT: u32 = 44;
const BAR_HEIGHT: u32 = 26;
const FONT: &str = "sans-serif";
const OURS: RGBColor = RGBColor(0, 90, 181);
const FLOOR: RGBColor = RGBColor(190, 190, 190);
const OTHERS: RGBColor = RGBColor(128, 128, 128);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

/// The results of one comparison each, of those that `scenario` has: their names differ in the server only.
#[must_use]
pub fn groups(documents: &[Document], scenario: &dyn Scenario) -> Vec<Vec<Document>> {
    let mut groups: BTreeMap<&str, Vec<Document>> = BTreeMap::new();
    if scenario.sides().is_empty() {
        return Vec::new();
    }
    for document in documents.iter().filter(|document| document.scenario == scenario.name()) {
        if let Some((name, _)) = document.name.rsplit_once('-') {
            groups.entry(name).or_default().push(document.clone());
        }
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// Draws them side by side to `<name>-peers.svg` in `dir`; nothing where there are not several.
///
/// # Errors
/// Where the file cannot be written.
pub fn sides(documents: &[Document], scenario: &dyn Scenario, dir: &Path) -> Result<()> {
    let Some((name, _)) = documents.first().and_then(|document| document.name.rsplit_once('-')) else {
        return Ok(());
    };
    if documents.len() < 2 {
        return Ok(());
    }
    let panels: Vec<_> =
        scenario.sides().iter().filter(|column| documents.iter().any(|it| has(it, column))).collect();
    let panel_height = CAPTION_HEIGHT + BAR_HEIGHT * documents.len() as u32;
    let rows = panels.len().div_ceil(2) as u32;
    let path = dir.join(file_name(name));
    let root = SVGBackend::new(&path, (WIDTH, TITLE_HEIGHT + rows * panel_height)).into_drawing_area();
    picture(name, documents, &panels, &root)
        .map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))
}

/// Of the picture that compares the results of this name.
pub(super) fn file_name(name: &str) -> String {
    format!("{name}-peers.svg")
}

fn has(document: &Document, column: &Column) -> bool {
    document.median.contains_key(column.figure)
}

fn picture(name: &str, documents: &[Document], panels: &[&Column], root: &Area<'_>) -> Drawn {
    root.fill(&WHITE)?;
    let what = documents.first().map(load).unwrap_or_default();
    let root = root.titled(&format!("{name}: {what}"), (FONT, 18))?;
    let rows = panels.len().div_ceil(2).max(1);
    for (area, column) in root.split_evenly((rows, 2)).iter().zip(panels) {
        bars(documents, column, area)?;
    }
    root.present()?;
    Ok(())
}

fn bars(documents: &[Document], column: &Column, area: &Area<'_>) -> Drawn {
    let value = |document: &Document| document.median.get(column.figure).map(|value| value / column.per);
    let top = documents.iter().filter_map(value).fold(f64::MIN_POSITIVE, f64::max);
    let count = documents.len();
    let mut chart = ChartBuilder::on(area)
        .caption(column.head, (FONT, 15))
        .margin_left(10)
        .margin_right(20)
        .margin_bottom(8)
        .y_label_area_size(85)
        // Room for the figure behind the longest bar.
        .build_cartesian_2d(0.0..top * 1.3, (count as f64)..0.0)?;
    let names: Vec<_> = documents.iter().map(|document| server(&document.name)).collect();
    chart.configure_mesh().disable_mesh().disable_axes().draw()?;
    for (place, (document, name)) in documents.iter().zip(names).enumerate() {
        let middle = place as f64 + 0.5;
        let color = match name {
            "waggle" => OURS,
            "floor" => FLOOR,
            _ => OTHERS,
        };
        let figure = value(document);
        let bar = Rectangle::new(
            [(0.0, place as f64 + 0.15), (figure.unwrap_or_default().max(0.0), place as f64 + 0.85)],
            color.filled(),
        );
        chart.draw_series(std::iter::once(bar))?;
        let label = figure.map_or_else(|| "not known".to_owned(), shown);
        let at = (figure.unwrap_or_default().max(0.0), middle);
        let style = (FONT, 13).into_font().color(&BLACK);
        let behind = EmptyElement::at(at) + Text::new(label, (6, -6), style.clone());
        chart.draw_series(std::iter::once(behind))?;
        let before = EmptyElement::at((0.0, middle)) + Text::new(name.to_owned(), (-80, -6), style);
        chart.draw_series(std::iter::once(before))?;
    }
    Ok(())
}

/// The server's name at the end of a result's.
fn server(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(_, server)| server)
}

/// Three digits.
fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        one if one >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(
            [0.0, 0.1234, 1.234, 12.34, 123.4, 15_000.0].map(shown),
            ["0", "0.123", "1.23", "12.3", "123", "15000"]
        );
        assert_eq!((server("signal-all-1000-nchan"), server("x")), ("nchan", "x"));
    }
}
