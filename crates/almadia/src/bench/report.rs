//! The benchmark's output: a table that reads well in a terminal and in Markdown, or JSON.
//!
//! Renders and nothing else.

use serde_json::{Value, json};

use super::process::Usage;
use super::summary::{Figures, Summary};
use crate::commands::output::size;

/// One load, measured.
pub struct Cell {
    /// What was called: "put 256 B".
    pub workload: String,
    /// Clients.
    pub clients: usize,
    /// Connections.
    pub connections: usize,
    /// Each side's name and figures.
    pub sides: Vec<(String, Summary)>,
    /// First side over second, if there are two.
    pub ratios: Option<Figures>,
}

/// A side's processes at the end.
pub struct Memory {
    /// The side's name.
    pub name: String,
    /// What its processes used, added up.
    pub usage: Usage,
}

const HEADER: [&str; 14] = [
    "workload",
    "clients",
    "side",
    "ops/s",
    "CPU µs/op",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "p99.9 ms",
    "max ms",
    "disk B/op",
    "written B/op",
    "generator µs/op",
    "failed",
];

/// All loads as one table.
pub fn table(cells: &[Cell]) -> String {
    let mut rows = Vec::new();
    for cell in cells {
        for (at, (name, summary)) in cell.sides.iter().enumerate() {
            let mut row = front(cell, at == 0, name);
            row.extend(figures(&summary.figures, false));
            row.push(summary.failures.values().sum::<u64>().to_string());
            rows.push(row);
        }
        if let Some(ratios) = &cell.ratios {
            let mut row = front(cell, false, "**ratio**");
            row.extend(figures(ratios, true));
            row.push(String::new());
            rows.push(row);
        }
    }
    markdown(&HEADER, &rows)
}

/// What went wrong, one line for each reason; empty when nothing did.
pub fn failures(cells: &[Cell]) -> String {
    let mut text = String::new();
    for cell in cells {
        for (name, summary) in &cell.sides {
            for (reason, count) in &summary.failures {
                text.push_str(&format!(
                    "failed: {}, {} clients, {name}: {count} × {reason}\n",
                    cell.workload, cell.clients
                ));
            }
        }
    }
    text
}

/// Memory of each side; empty without processes.
pub fn memory(sides: &[Memory]) -> String {
    if sides.is_empty() {
        return String::new();
    }
    let mut rows: Vec<Vec<String>> = sides
        .iter()
        .map(|side| {
            let bytes = |bytes: u64| size(bytes.cast_signed());
            vec![
                side.name.clone(),
                bytes(side.usage.memory_bytes),
                bytes(side.usage.memory_bytes_max),
            ]
        })
        .collect();
    if let [a, b] = sides {
        let over = |a: u64, b: u64| {
            if b == 0 {
                String::new()
            } else {
                number(a as f64 / b as f64, true)
            }
        };
        rows.push(vec![
            "**ratio**".to_owned(),
            over(a.usage.memory_bytes, b.usage.memory_bytes),
            over(a.usage.memory_bytes_max, b.usage.memory_bytes_max),
        ]);
    }
    markdown(&["all members", "memory now", "memory at most"], &rows)
}

/// Everything, for programs.
pub fn json(cells: &[Cell], sides: &[Memory]) -> Value {
    let cells: Vec<Value> = cells
        .iter()
        .map(|cell| {
            let sides: Vec<Value> = cell
                .sides
                .iter()
                .map(|(name, summary)| {
                    json!({
                        "name": name,
                        "operations": summary.operations,
                        "figures": figures_json(&summary.figures),
                        "failures": summary.failures,
                    })
                })
                .collect();
            json!({
                "workload": cell.workload,
                "clients": cell.clients,
                "connections": cell.connections,
                "sides": sides,
                "ratios": cell.ratios.as_ref().map(figures_json),
            })
        })
        .collect();
    let memory: Vec<Value> = sides
        .iter()
        .map(|side| {
            json!({
                "name": side.name,
                "memory_bytes": side.usage.memory_bytes,
                "memory_bytes_max": side.usage.memory_bytes_max,
            })
        })
        .collect();
    json!({ "loads": cells, "members": memory })
}

/// A Markdown table with padded columns.
pub fn markdown(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        assert_eq!(row.len(), header.len(), "a row has a cell for each column");
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let cells: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}", width = *width))
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(header.to_vec());
    let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    text.push_str(&line(dashes.iter().map(String::as_str).collect()));
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

fn front(cell: &Cell, is_first: bool, side: &str) -> Vec<String> {
    if !is_first {
        return vec![String::new(), String::new(), side.to_owned()];
    }
    vec![cell.workload.clone(), cell.clients.to_string(), side.to_owned()]
}

fn figures(figures: &Figures, is_ratio: bool) -> Vec<String> {
    let all = [
        figures.per_second,
        figures.server_cpu_us,
        figures.p50_ms,
        figures.p90_ms,
        figures.p99_ms,
        figures.p99_9_ms,
        figures.max_ms,
        figures.disk_bytes,
        figures.written_bytes,
        figures.generator_cpu_us,
    ];
    all.map(|figure| figure.map_or("–".to_owned(), |figure| number(figure, is_ratio)))
        .to_vec()
}

/// Three significant digits; ratios are marked.
pub fn number(value: f64, is_ratio: bool) -> String {
    let text = match value.abs() {
        large if large >= 99.95 => format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        tiny => format!("{tiny:.3}"),
    };
    if is_ratio { format!("{text}×") } else { text }
}

fn figures_json(figures: &Figures) -> Value {
    json!({
        "ops_per_second": figures.per_second,
        "server_cpu_us_per_op": figures.server_cpu_us,
        "p50_ms": figures.p50_ms,
        "p90_ms": figures.p90_ms,
        "p99_ms": figures.p99_ms,
        "p99_9_ms": figures.p99_9_ms,
        "max_ms": figures.max_ms,
        "disk_bytes_per_op": figures.disk_bytes,
        "written_bytes_per_op": figures.written_bytes,
        "generator_cpu_us_per_op": figures.generator_cpu_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let cases = [
            (41_234.0, "41234"),
            (99.96, "100"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.0123, "0.012"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value, false), text);
        }
        assert_eq!(number(3.0, true), "3.00×");
    }

    #[test]
    fn output() {
        let side = |per_second| Summary {
            figures: Figures {
                per_second: Some(per_second),
                p50_ms: Some(1.0),
                ..Figures::default()
            },
            operations: 10,
            failures: [("gRPC code 14: no leader".to_owned(), 2)].into(),
            is_wrong: false,
        };
        let cell = Cell {
            workload: "put 256 B".to_owned(),
            clients: 64,
            connections: 4,
            sides: vec![
                ("almadia".to_owned(), side(300.0)),
                ("etcd".to_owned(), side(100.0)),
            ],
            ratios: Some(Figures {
                per_second: Some(3.0),
                ..Figures::default()
            }),
        };
        let text = table(&[cell]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[2].starts_with("| put 256 B | 64      | almadia   | 300   | –         | 1.00"),
            "{text}"
        );
        assert!(
            lines[4].starts_with("|           |         | **ratio** | 3.00×"),
            "{text}"
        );
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width), "{text}");
    }
}
