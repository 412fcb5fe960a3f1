//! The fund's factsheet, as HTML.

use super::fund::{AssetClass, FUND, MANAGER, net_assets, percent, value_of};

/// The file.
pub(super) fn factsheet() -> String {
    let rows: String = AssetClass::ALL
        .into_iter()
        .map(|class| {
            let share = percent(value_of(class), net_assets());
            format!("      <tr><td>{}</td><td>{share}</td></tr>\n", class.name())
        })
        .collect();
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{FUND}: factsheet</title></head>
<body>
  <h1>{FUND}</h1>
  <p>Factsheet at 31 December 2025. The fund is fictional.</p>
  <h2>At a glance</h2>
  <table>
    <tbody>
      <tr><th>Manager</th><td>{MANAGER}</td></tr>
      <tr><th>Launch date</th><td>4 March 2015</td></tr>
      <tr><th>Currency</th><td>EUR</td></tr>
      <tr><th>Risk indicator</th><td>3 of 7</td></tr>
      <tr><th>Minimum investment, Class A</th><td>EUR 500</td></tr>
      <tr><th>Minimum investment, Class I</th><td>EUR 250,000</td></tr>
      <tr><th>Distribution</th><td>None: income is reinvested</td></tr>
    </tbody>
  </table>
  <h2>Allocation</h2>
  <table>
    <thead><tr><th>Asset class</th><th>Share of net assets</th></tr></thead>
    <tbody>
{rows}    </tbody>
  </table>
  <h2>Objective</h2>
  <p>The fund seeks growth over five years and more from European equities and
  investment-grade bonds, with smaller swings than the share market alone.</p>
</body>
</html>
"#
    )
}
