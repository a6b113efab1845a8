//! What was measured, as Markdown and as a chart.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

/// What people have written about the figures, with places for them.
const PROSE: &str = include_str!("../performance.md");

/// A figure in as many digits as say something; small ratios as fractions.
fn figure(figure: f64) -> String {
    match figure {
        0.0 => "0".into(),
        ratio if ratio > 0.0 && ratio < 0.1 && ratio > 1e-4 => format!("1/{:.0}", 1.0 / ratio),
        large if large >= 100.0 => format!("{large:.0}"),
        other => format!("{other:.2}"),
    }
}

/// A table under construction.
pub struct Table {
    title: String,
    note: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: &str, note: &str, head: &[&str]) -> Self {
        Self {
            title: title.into(),
            note: note.into(),
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let row: Vec<_> = cells.into_iter().collect();
        println!("  {}", row.join("  "));
        self.rows.push(row);
    }
}

/// A ratio that must be reached.
pub struct Gate {
    pub what: String,
    pub ratio: f64,
    pub gate: f64,
    pub aim: f64,
    /// Whether less is better.
    pub at_most: bool,
}

impl Gate {
    fn verdict(&self) -> &'static str {
        let reaches = |limit: f64| if self.at_most { self.ratio <= limit } else { self.ratio >= limit };
        match (reaches(self.aim), reaches(self.gate)) {
            (true, _) => "aim reached",
            (_, true) => "gate reached",
            _ => "**missed**",
        }
    }
}

#[derive(Default)]
pub struct Report {
    pub tables: Vec<Table>,
    pub gates: Vec<Gate>,
    /// Name and calls a second, for the chart.
    pub bars: Vec<(String, f64)>,
    pub remarks: Vec<String>,
}

impl Report {
    /// The prose with what was measured put in.
    pub fn markdown(&self) -> String {
        let parts = [("{{run}}", self.run()), ("{{gates}}", self.verdicts()), ("{{tables}}", self.tables())];
        parts.into_iter().fold(PROSE.to_owned(), |text, (place, part)| {
            assert!(text.contains(place), "the prose has no place for {place}");
            text.replace(place, part.trim())
        })
    }

    fn run(&self) -> String {
        self.remarks.iter().fold(String::new(), |text, remark| format!("{text}- {remark}\n"))
    }

    fn verdicts(&self) -> String {
        let mut text = String::from("| what | measured | gate | aim | |\n| --- | --- | --- | --- | --- |\n");
        for gate in &self.gates {
            let sign = if gate.at_most { "≤" } else { "≥" };
            let [measured, limit, aim] = [gate.ratio, gate.gate, gate.aim].map(figure);
            let (what, verdict) = (&gate.what, gate.verdict());
            let _ = writeln!(text, "| {what} | {measured} | {sign} {limit} | {sign} {aim} | {verdict} |");
        }
        text
    }

    fn tables(&self) -> String {
        let mut text = String::new();
        for Table { title, note, head, rows } in &self.tables {
            let _ = write!(text, "\n### {title}\n\n");
            if !note.is_empty() {
                let _ = write!(text, "{note}\n\n");
            }
            let _ = writeln!(text, "| {} |\n|{}", head.join(" | "), " --- |".repeat(head.len()));
            for row in rows {
                let _ = writeln!(text, "| {} |", row.join(" | "));
            }
        }
        text
    }

    /// One client's calls a second, on a logarithmic scale.
    pub fn chart(&self, path: &Path) -> Result<()> {
        let most = self.bars.iter().map(|bar| bar.1).fold(1.0, f64::max) * 2.0;
        let height = 60 + 34 * self.bars.len() as u32;
        let area = SVGBackend::new(path, (860, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let count = self.bars.len() as i32;
        let mut chart = ChartBuilder::on(&area)
            .caption("One client: calls a second (logarithmic)", ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(30)
            .build_cartesian_2d((1e3..most).log_scale(), 0..count)?;
        chart.configure_mesh().disable_y_mesh().disable_y_axis().x_desc("").draw()?;
        chart.draw_series(self.bars.iter().enumerate().map(|(place, (name, rate))| {
            let y = count - 1 - place as i32;
            let colour = if name.starts_with("multiproc") { RGBColor(40, 110, 200) } else { RGBColor(170, 170, 170) };
            let mut bar = Rectangle::new([(1e3, y), (*rate, y + 1)], colour.filled());
            bar.set_margin(4, 4, 0, 0);
            bar
        }))?;
        chart.draw_series(self.bars.iter().enumerate().map(|(place, (name, rate))| {
            let y = count - 1 - place as i32;
            EmptyElement::at((1.1e3, y))
                + Text::new(format!("{name}: {rate:.0}"), (4, -22), ("sans-serif", 14).into_font())
        }))?;
        area.present()?;
        Ok(())
    }
}
