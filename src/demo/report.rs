//! The fund's annual report, as PDF.

use super::fund::{
    AssetClass, CLASSES, FUND, MANAGER, decimal, grouped, net_assets, net_assets_2024, percent,
    value_of,
};
use super::pdf::{Paper, Table};

/// The file.
pub(super) fn annual_report() -> Vec<u8> {
    let mut paper = Paper::new("Halden Meridian Balanced Fund, annual report 2025");
    letter(&mut paper);
    paper.page();
    net_asset_value(&mut paper);
    paper.page();
    performance(&mut paper);
    paper.page();
    portfolio(&mut paper);
    paper.page();
    charges(&mut paper);
    paper.finish()
}

fn letter(paper: &mut Paper) {
    paper.title(FUND, "Annual report for the year to 31 December 2025 (a fictional fund)");
    paper.heading("Letter to shareholders");
    paper.paragraph(&format!(
        "The fund ended its eleventh year with net assets of EUR {} thousand, after EUR {} \
         thousand a year before. Both share classes gained, and both stayed ahead of the \
         benchmark after costs.",
        grouped(net_assets() / 1_000),
        grouped(net_assets_2024()),
    ));
    paper.paragraph(
        "Infrastructure and utilities carried the equity side. On the bond side we lengthened \
         duration from 4.6 to 5.2 years in the second half, when yields on public debt had \
         risen. The number of shareholders grew to 6,214.",
    );
    paper.heading("What changed in the year");
    paper.paragraph(
        "At the general meeting of 14 May 2025 the shareholders elected Ms Ingrid Sollberg to \
         the board. The depositary and the auditor did not change. The fund did not borrow, \
         lent no securities and held no derivatives at the year's end.",
    );
    paper.paragraph(&format!(
        "{MANAGER} expects income from bonds to rise further in 2026, as EUR 18 million mature \
         and are invested at higher yields."
    ));
}

fn net_asset_value(paper: &mut Paper) {
    paper.heading("Net asset value");
    paper.paragraph(
        "The table shows net assets, shares in issue and the net asset value (NAV) per share of each \
         class at the end of this year and of the last one. Net assets are in thousands of \
         euro, the net asset value per share is in euro.",
    );
    let mut rows: Vec<Vec<String>> = CLASSES
        .iter()
        .map(|class| {
            let mut row = vec![class.name.to_owned()];
            for (assets, shares, cents) in [class.at_2025, class.at_2024] {
                row.extend([grouped(assets), grouped(shares), decimal(cents)]);
            }
            row
        })
        .collect();
    let (now, then) = (grouped(net_assets() / 1_000), grouped(net_assets_2024()));
    rows.push(["Total", &now, "", "", &then, "", ""].map(str::to_owned).to_vec());
    paper.table(&Table {
        columns: &[60.0, 124.0, 184.0, 258.0, 326.0, 388.0, 467.0],
        groups: &[("31 December 2025", 1, 3), ("31 December 2024", 4, 6)],
        heads: &[
            "",
            "Net assets",
            "Shares",
            "NAV per share",
            "Net assets",
            "Shares",
            "NAV per share",
        ],
        rows: &rows,
        has_total: true,
    });
    paper.paragraph(
        "Shares are issued and redeemed on every business day at the net asset value per share. \
         In 2025 the fund issued 141,806 shares and redeemed 100,173.",
    );
}

fn performance(paper: &mut Paper) {
    paper.heading("Performance");
    paper.paragraph(
        "Returns are after costs and with income reinvested. The benchmark is 45% European \
         equities and 55% euro investment-grade bonds. Returns over more than one year are a \
         year's average.",
    );
    let rows = [
        ["1 year", "7.32%", "6.85%", "7.86%", "6.85%"],
        ["3 years", "5.10%", "4.72%", "5.64%", "4.72%"],
        ["Since launch", "4.41%", "4.05%", "4.95%", "4.05%"],
    ]
    .map(|row| row.map(str::to_owned).to_vec());
    paper.table(&Table {
        columns: &[110.0, 190.0, 280.0, 370.0, 460.0],
        groups: &[("Class A", 1, 2), ("Class I", 3, 4)],
        heads: &["Period", "Fund", "Benchmark", "Fund", "Benchmark"],
        rows: &rows,
        has_total: false,
    });
    paper.heading("Risk");
    paper.paragraph(
        "The volatility of monthly returns over three years was 6.1%, that of the benchmark \
         6.4%. The largest loss from a peak in that time was 8.7%, made good after seven months.",
    );
}

fn portfolio(paper: &mut Paper) {
    paper.heading("Portfolio by asset class");
    paper.paragraph(
        "Market values are in thousands of euro. Single positions stand in the workbook of \
         holdings that is published with this report.",
    );
    let (now, then) = (net_assets(), net_assets_2024());
    let mut rows: Vec<Vec<String>> = AssetClass::ALL
        .into_iter()
        .map(|class| {
            vec![
                class.name().to_owned(),
                grouped(value_of(class) / 1_000),
                grouped(class.at_2024()),
                percent(value_of(class), now),
                percent(class.at_2024(), then),
            ]
        })
        .collect();
    rows.push(vec![
        "Net assets".to_owned(),
        grouped(now / 1_000),
        grouped(then),
        "100.0%".to_owned(),
        "100.0%".to_owned(),
    ]);
    paper.table(&Table {
        columns: &[130.0, 205.0, 285.0, 370.0, 455.0],
        groups: &[("Market value", 1, 2), ("Share of net assets", 3, 4)],
        heads: &["", "2025", "2024", "2025", "2024"],
        rows: &rows,
        has_total: true,
    });
    paper.paragraph(
        "Cash was kept within the limit of the investment policy throughout the year. The \
         average rating of the bonds was A+, and no issuer was downgraded below investment \
         grade.",
    );
}

fn charges(paper: &mut Paper) {
    paper.heading("Ongoing charges");
    paper.paragraph("Charges of the year, as a share of the average net assets of each class.");
    let rows = [
        ["Management fee", "1.10%", "0.60%"],
        ["Administration", "0.14%", "0.11%"],
        ["Depositary", "0.04%", "0.04%"],
        ["Ongoing charges", "1.28%", "0.75%"],
    ]
    .map(|row| row.map(str::to_owned).to_vec());
    paper.table(&Table {
        columns: &[170.0, 270.0, 370.0],
        groups: &[],
        heads: &["Charge", "Class A", "Class I"],
        rows: &rows,
        has_total: true,
    });
    paper.heading("Auditor");
    paper.paragraph(
        "Lindqvist Audit has audited the financial statements and issued an opinion without \
         qualification on 27 February 2026. The fee for the audit was EUR 48,500.",
    );
}
