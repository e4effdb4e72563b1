//! The quarter as a table, a page and a picture.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use plotters::style::RGBColor;

use super::direct::FROZEN;
use super::{Document, Row};
use crate::learn::picture::{Axis, COLORS, GREY, Line, Lines, Stroke, canvas};

const SIZE: (u32, u32) = (980, 1_180);
/// Of each of the three panels.
const PANEL_HEIGHT: u32 = 380;

/// The curve in a sentence: how much the quarter gains on the messages that nobody answers.
pub(super) fn gains(document: &Document) -> String {
    let mean = |row: &Row, figure: &str| row.mean.get(figure).copied();
    let ends = document.weeks.first().zip(document.weeks.last());
    let Some((first, last)) = ends.filter(|(first, last)| last.week > first.week) else {
        return String::new();
    };
    let right = |row| mean(row, "held_out_right_percent");
    let Some((begin, end)) = right(first).zip(right(last)) else { return String::new() };
    let weeks = (last.week - first.week) as f64;
    let gained = |row: &&Row| mean(row, "gained_points").unwrap_or_default();
    let best = document.weeks.iter().skip(1).max_by(|one, other| gained(one).total_cmp(&gained(other)));
    let best = best.map_or_else(String::new, |best| {
        format!("; the most after the first, {:+.1}, in week {}", gained(&best), best.week)
    });
    format!(
        "Right suggestions for messages that nobody answers: {begin:.1} % at the end of week {}, {end:.1} % at the end of \
         week {}: {:+.1} points, {:+.1} a week{best}.\n",
        first.week,
        last.week,
        end - begin,
        (end - begin) / weeks
    )
}

/// A week per row.
pub(super) fn table(document: &Document) -> String {
    const COLUMNS: [(&str, &str); 9] = [
        ("gained, points", "gained_points"),
        ("held out: right %", "held_out_right_percent"),
        ("intent right %", "held_out_intent_percent"),
        ("known %", "held_out_known_percent"),
        ("right of known %", "held_out_right_of_known_percent"),
        ("live: right %", "live_right_percent"),
        ("known %", "live_known_percent"),
        ("accepted as it is %", "live_accepted_percent"),
        ("edited %", "live_edited_percent"),
    ];
    let mut columns: Vec<(String, String)> =
        COLUMNS.iter().map(|(head, figure)| ((*head).to_owned(), (*figure).to_owned())).collect();
    for week in FROZEN {
        columns.push((format!("frozen after week {week}: right %"), format!("frozen_{week}_right_percent")));
    }
    columns.retain(|(_, figure)| document.weeks.iter().any(|row| row.mean.contains_key(figure)));
    let heads: Vec<_> = columns.iter().map(|column| column.0.as_str()).collect();
    let mut text =
        format!("| week | intents | {} |\n|---:|---:|{}\n", heads.join(" | "), "---:|".repeat(heads.len()));
    for row in &document.weeks {
        let cells: Vec<_> = columns.iter().map(|(_, figure)| cell(row, figure)).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {} | {} | {} |", row.week, row.intents, cells.join(" | "));
    }
    text
}

fn cell(row: &Row, figure: &str) -> String {
    match (row.mean.get(figure), row.spread.get(figure)) {
        (Some(mean), Some(spread)) => format!("{mean:.1} ± {spread:.1}"),
        (Some(mean), None) => format!("{mean:.1}"),
        _ => "–".to_owned(),
    }
}

/// The page of a result.
pub(super) fn page(document: &Document) -> String {
    let Document { name, data, shape, facts, held_out, repeat, seed, .. } = document;
    let oos = if data.oos.is_empty() { String::new() } else { format!(", `{}`", data.oos) };
    let percent = |share: f64| share * 100.0;
    let quarters = match repeat {
        1 => "one quarter".to_owned(),
        repeat => format!("means of {repeat} quarters, ± is the standard deviation"),
    };
    let way = if document.is_http { "Through a gateway, over HTTP" } else { "Through the library" };
    let dirty = if facts.git_dirty { " with changes" } else { "" };
    format!(
        "# A simulated quarter: {name}\n\nMade by `waggle-bench learn-quarter`; do not edit. \
         What it means: [docs/BENCHMARKS.md](../../../docs/BENCHMARKS.md).\n\n\
         Texts of `{}`, `{}`{oos}; {} intents, {} dialogues a week, {:.0} % of the intents from the start, \
         {:.0} % of agents' acts wrong, {:.0} % of own replies with a macro and {:.0} % of the others with a label; \
         {held_out} messages held out; {quarters}; seed {seed}. \
         Replies are of the bench's own making. {way}.\n\n\
         {}; {} × {}, Linux {}; commit {}{dirty}; load average before: {:.2}.\n\n{}\n![Week by week]({name}.svg)\n\n{}",
        data.train,
        data.test,
        data.intents,
        shape.per_week,
        percent(shape.at_start),
        percent(shape.errors),
        percent(shape.with_macro),
        percent(shape.with_label),
        facts.date,
        facts.cores,
        facts.cpu,
        facts.kernel,
        facts.git_revision,
        facts.load_average[0],
        gains(document),
        table(document)
    )
}

/// Three panels over the weeks: what is gained, what it is good for, and what a model that stays as it was would do.
pub(super) fn draw(document: &Document, path: &Path) -> Result<()> {
    let panels = [held_out(document), gained(document), live(document)];
    let title = format!(
        "{}: a quarter of {} dialogues a week, {} intents",
        document.name, document.shape.per_week, document.data.intents
    );
    canvas(path, SIZE, &title, |root| {
        let mut rest = root.clone();
        for panel in &panels {
            let (above, below) = rest.split_vertically(PANEL_HEIGHT);
            panel.paint_titled(&above)?;
            rest = below;
        }
        Ok(())
    })
}

fn held_out(document: &Document) -> Lines {
    let lines = [
        ("first suggestion right", "held_out_right_percent", Stroke::Bold, COLORS[0]),
        ("one of three right", "held_out_in_three_percent", Stroke::Thin, COLORS[0]),
        ("says that it knows", "held_out_known_percent", Stroke::Dashed, COLORS[2]),
        ("right where it says so", "held_out_right_of_known_percent", Stroke::Bold, COLORS[1]),
        ("likeliest intent right", "held_out_intent_percent", Stroke::Thin, COLORS[3]),
    ];
    let name = format!("{} messages that nobody answers", document.held_out);
    panel(document, &format!("At the end of each week, asked the same {name}"), "share, %", &lines)
}

fn gained(document: &Document) -> Lines {
    let lines = [
        ("right suggestions", "gained_points", Stroke::Bold, COLORS[0]),
        ("likeliest intent right", "gained_intent_points", Stroke::Thin, COLORS[3]),
    ];
    let mut panel =
        panel(document, "Gained within each week, on the same messages", "percentage points", &lines);
    let bands = panel.lines.iter().flat_map(|line| line.band.iter().flat_map(|band| [band.1, band.2]));
    let values = bands.chain(panel.lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)));
    let (low, high) =
        values.fold((0.0, 5.0), |(low, high), value| (f64::min(low, value), f64::max(high, value)));
    panel.y.low = (low / 5.0).floor() * 5.0;
    panel.y.high = (high / 5.0).ceil() * 5.0;
    panel.note = format!("new intents come until week 10\n{}", panel.note);
    panel.lines.push(level(0.0));
    panel
}

fn level(at: f64) -> Line {
    let points = vec![(1.0, at), (13.0, at)];
    Line { name: "nothing gained".to_owned(), points, band: Vec::new(), stroke: Stroke::Thin, color: GREY }
}

fn live(document: &Document) -> Lines {
    let names = FROZEN.map(|week| format!("learned until week {week} only"));
    let figures = FROZEN.map(|week| format!("frozen_{week}_right_percent"));
    let mut lines = vec![("learns on: right", "live_right_percent", Stroke::Bold, COLORS[0])];
    lines.push(("sent as suggested", "live_accepted_percent", Stroke::Thin, COLORS[2]));
    for ((name, figure), color) in names.iter().zip(&figures).zip([COLORS[1], COLORS[3], COLORS[4]]) {
        lines.push((name, figure, Stroke::Dashed, color));
    }
    panel(document, "Each week's dialogues as they came: first suggestion right", "share, %", &lines)
}

fn panel(document: &Document, title: &str, axis: &str, lines: &[(&str, &str, Stroke, RGBColor)]) -> Lines {
    let line = |(name, figure, stroke, color): &(&str, &str, Stroke, RGBColor)| {
        let rows = document.weeks.iter().filter_map(|row| Some((row, *row.mean.get(*figure)?)));
        let points: Vec<(f64, f64)> = rows.map(|(row, mean)| (row.week as f64, mean)).collect();
        let ends = document.weeks.iter().filter_map(|row| {
            let values: Vec<f64> = row.runs.iter().filter_map(|run| run.get(*figure).copied()).collect();
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (!values.is_empty()).then_some((row.week as f64, low, high))
        });
        let last = points.last().map_or(0.0, |point| point.1);
        Line {
            name: format!("{name}: {last:.1}"),
            points,
            band: if *stroke == Stroke::Bold { ends.collect() } else { Vec::new() },
            stroke: *stroke,
            color: *color,
        }
    };
    let weeks = document.weeks.len() as f64;
    Lines {
        title: title.to_owned(),
        note: match document.repeat {
            1 => "figures: the last week's; one quarter".to_owned(),
            repeat => format!("figures: the last week's;\nmeans of {repeat} quarters, bands: range"),
        },
        x: Axis { name: "week".into(), low: 1.0, high: weeks.max(2.0), is_logarithmic: false, ticks: 14 },
        y: Axis { name: axis.into(), low: 0.0, high: 100.0, is_logarithmic: false, ticks: 11 },
        lines: lines.iter().map(line).filter(|line| !line.points.is_empty()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Facts;
    use crate::learn::quarter::world::tests::SHAPE;
    use crate::learn::task::DataFacts;
    use crate::result::Figures;

    #[test]
    fn gains_are_told_in_a_sentence() {
        let row = |week: usize, right: f64, gained: f64| {
            let mean = [("held_out_right_percent", right), ("gained_points", gained)];
            let mean: Figures = mean.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Row { week, intents: 1, mean, spread: Figures::new(), runs: Vec::new() }
        };
        let mut document = Document {
            schema: 1,
            name: "q".into(),
            data: DataFacts::default(),
            shape: SHAPE,
            held_out: 10,
            repeat: 1,
            seed: 1,
            is_http: true,
            facts: Facts::default(),
            weeks: vec![row(1, 20.0, 20.0), row(2, 50.0, 30.0), row(3, 60.0, 10.0)],
        };
        let told = gains(&document);
        assert!(
            told.contains(
                "20.0 % at the end of week 1, 60.0 % at the end of week 3: +40.0 points, +20.0 a week"
            ),
            "{told}"
        );
        assert!(told.ends_with("the most after the first, +30.0, in week 2.\n"), "{told}");
        document.weeks.truncate(1);
        assert_eq!(gains(&document), "");
    }
}
