//! Lines over one axis, with a legend beside them.

use std::path::Path;

use anyhow::Result;
use plotters::coord::combinators::BindKeyPoints;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::{Area, Drawn, FONT, GREY, canvas};

const SIZE: (u32, u32) = (980, 470);
/// Of the legend.
const LEGEND_WIDTH: u32 = 270;
const LEGEND_LINE: i32 = 22;

/// An axis and what is on it.
#[derive(Debug, Clone)]
pub(in crate::learn) struct Axis {
    /// With the unit.
    pub name: String,
    pub low: f64,
    pub high: f64,
    pub is_logarithmic: bool,
    /// How many numbers there may be on it.
    pub ticks: usize,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::learn) enum Stroke {
    Bold,
    Thin,
    Dashed,
}

/// One line.
#[derive(Debug, Clone)]
pub(in crate::learn) struct Line {
    /// As in the legend.
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// A range around it: place, low and high.
    pub band: Vec<(f64, f64, f64)>,
    pub stroke: Stroke,
    pub color: RGBColor,
}

/// A picture of lines.
#[derive(Debug, Clone)]
pub(in crate::learn) struct Lines {
    pub title: String,
    /// Below the legend.
    pub note: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
}

impl Lines {
    /// Draws it.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(in crate::learn) fn draw(&self, path: &Path) -> Result<()> {
        canvas(path, SIZE, &self.title, |root| self.paint(root))
    }

    /// Draws it on a part of a picture, below its title.
    pub(in crate::learn) fn paint_titled(&self, area: &Area<'_>) -> Drawn {
        self.paint(&area.titled(&self.title, (FONT, 15))?)
    }

    /// Draws it on a part of a picture.
    pub(super) fn paint(&self, root: &Area<'_>) -> Drawn {
        let width = root.dim_in_pixel().0.saturating_sub(LEGEND_WIDTH);
        let (left, right) = root.split_horizontally(width);
        let range = self.x.low..self.x.high.max(self.x.low + 1e-9);
        if self.x.is_logarithmic {
            let ticks = one_two_five(range.start, range.end);
            self.chart(&left, range.log_scale().with_key_points(ticks))?;
        } else {
            self.chart(&left, range)?;
        }
        self.legend(&right)
    }

    fn chart<X>(&self, area: &Area<'_>, x: X) -> Drawn
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(24)
            .x_label_area_size(45)
            .y_label_area_size(60)
            .build_cartesian_2d(x, self.y.low..self.y.high)?;
        chart
            .configure_mesh()
            .x_desc(self.x.name.as_str())
            .y_desc(self.y.name.as_str())
            .x_labels(self.x.ticks)
            .y_labels(self.y.ticks)
            .x_label_formatter(&|value| short(*value))
            .y_label_formatter(&|value| short(*value))
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .light_line_style(WHITE.mix(0.0))
            .bold_line_style(BLACK.mix(0.12))
            .draw()?;
        for line in &self.lines {
            let above = line.band.iter().map(|(at, _, high)| (*at, *high));
            let below = line.band.iter().rev().map(|(at, low, _)| (*at, *low));
            let band = Polygon::new(above.chain(below).collect::<Vec<_>>(), line.color.mix(0.18));
            chart.draw_series(std::iter::once(band).filter(|_| line.band.len() > 1))?;
        }
        // The most important on top.
        for line in self.lines.iter().rev() {
            let points = line.points.iter().copied();
            match line.stroke {
                Stroke::Bold => chart.draw_series(LineSeries::new(points, line.color.stroke_width(3)))?,
                Stroke::Thin => chart.draw_series(LineSeries::new(points, line.color.stroke_width(1)))?,
                Stroke::Dashed => {
                    chart.draw_series(DashedLineSeries::new(points, 7, 5, line.color.stroke_width(2)))?
                }
            };
        }
        Ok(())
    }

    fn legend(&self, area: &Area<'_>) -> Drawn {
        let text = |size: u32| (FONT, size).into_font().color(&BLACK);
        let mut height = 24;
        for line in &self.lines {
            let ends = [(4, height + 7), (32, height + 7)];
            match line.stroke {
                Stroke::Dashed => {
                    for start in [4, 19] {
                        let part = vec![(start, height + 7), (start + 10, height + 7)];
                        area.draw(&PathElement::new(part, line.color.stroke_width(2)))?;
                    }
                }
                Stroke::Bold => area.draw(&PathElement::new(ends, line.color.stroke_width(3)))?,
                Stroke::Thin => area.draw(&PathElement::new(ends, line.color.stroke_width(1)))?,
            }
            area.draw(&Text::new(line.name.clone(), (40, height), text(13)))?;
            height += LEGEND_LINE;
        }
        for note in self.note.lines() {
            height += LEGEND_LINE;
            area.draw(&Text::new(note.to_owned(), (4, height), (FONT, 12).into_font().color(&GREY)))?;
        }
        Ok(())
    }
}

/// A tick: thousands with a comma, small ones with what they need.
fn short(value: f64) -> String {
    if value >= 1_000.0 {
        let whole = value.round() as u64;
        return format!("{},{:03}", whole / 1_000, whole % 1_000);
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Ticks of a logarithmic axis: 1, 2 and 5 of each decade. Those of the library itself have some of them twice.
fn one_two_five(low: f64, high: f64) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)));
    ticks.filter(|tick| (low..=high).contains(tick)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.0, 0.5, 60.0, 100.0, 10_000.0].map(short), ["0", "0.5", "60", "100", "10,000"]);
        assert_eq!(
            one_two_five(10.0, 618.0).into_iter().map(short).collect::<Vec<_>>(),
            ["10", "20", "50", "100", "200", "500"]
        );
        assert_eq!(one_two_five(30.0, 1_000.0), [50.0, 100.0, 200.0, 500.0, 1_000.0]);
    }
}
