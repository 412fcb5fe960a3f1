//! The fund's holdings, as a workbook with typed cells.

use rust_xlsxwriter::{
    DocProperties, ExcelDateTime, Format, Formula, Workbook, Worksheet, XlsxError,
};

use super::fund::{AssetClass, FUND, HOLDINGS, MANAGER, net_assets};

/// The row of the column heads, below the title.
const HEAD: u32 = 2;

/// The file. The date of its making is fixed, so that the bytes are.
pub(super) fn holdings() -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    let made = ExcelDateTime::from_ymd(2026, 1, 9)?;
    workbook.set_properties(
        &DocProperties::new().set_title(FUND).set_author(MANAGER).set_creation_datetime(&made),
    );
    positions(workbook.add_worksheet().set_name("Holdings")?)?;
    income(workbook.add_worksheet().set_name("Income")?)?;
    workbook.save_to_buffer()
}

fn positions(sheet: &mut Worksheet) -> Result<(), XlsxError> {
    let bold = Format::new().set_bold();
    let whole = Format::new().set_num_format("#,##0");
    let price = Format::new().set_num_format("#,##0.00");
    let percent = Format::new().set_num_format("0.00%");
    let date = Format::new().set_num_format("yyyy-mm-dd");
    sheet.write_with_format(0, 0, format!("{FUND}: holdings at 31 December 2025"), &bold)?;
    let heads = [
        "Holding",
        "Asset class",
        "Country",
        "Quantity",
        "Price",
        "Market value (EUR)",
        "Share of net assets",
        "First bought",
    ];
    for (column, head) in (0..).zip(heads) {
        sheet.write_with_format(HEAD, column, head, &bold)?;
        sheet.set_column_width(column, 20)?;
    }
    let mut row = HEAD;
    for holding in &HOLDINGS {
        row += 1;
        let value = holding.value();
        sheet.write(row, 0, holding.name)?;
        sheet.write(row, 1, holding.class.name())?;
        sheet.write(row, 2, holding.country)?;
        sheet.write_with_format(row, 3, exact(holding.quantity), &whole)?;
        sheet.write_with_format(row, 4, exact(holding.price_hundredths) / 100.0, &price)?;
        // A bond's price is a share of its nominal amount.
        let divisor = if holding.class == AssetClass::Equity { "" } else { "/100" };
        let line = row + 1;
        let formula =
            Formula::new(format!("=D{line}*E{line}{divisor}")).set_result(value.to_string());
        sheet.write_formula_with_format(row, 5, formula, &whole)?;
        let share = exact(value) / exact(net_assets());
        sheet.write_with_format(row, 6, (share * 1e4).round() / 1e4, &percent)?;
        let (year, month, day) = holding.bought;
        sheet.write_datetime_with_format(
            row,
            7,
            &ExcelDateTime::from_ymd(year, month, day)?,
            &date,
        )?;
    }
    sheet.write_with_format(row + 1, 0, "Net assets", &bold)?;
    let sum = Formula::new(format!("=SUM(F{}:F{})", HEAD + 2, row + 1));
    sheet.write_formula_with_format(
        row + 1,
        5,
        sum.set_result(net_assets().to_string()),
        &whole,
    )?;
    Ok(())
}

/// Income received, by payer and date.
fn income(sheet: &mut Worksheet) -> Result<(), XlsxError> {
    let bold = Format::new().set_bold();
    let whole = Format::new().set_num_format("#,##0");
    let date = Format::new().set_num_format("yyyy-mm-dd");
    for (column, head) in (0..).zip(["Paid on", "Payer", "Kind", "Amount (EUR)"]) {
        sheet.write_with_format(0, column, head, &bold)?;
        sheet.set_column_width(column, 24)?;
    }
    let payments = [
        ((2025, 4, 22), "Nordhafen Terminals AG", "Dividend", 456_000_u64),
        ((2025, 5, 30), "Verdant Foods NV", "Dividend", 312_000),
        ((2025, 8, 19), "Republic of Lorania 2.75% 2031", "Coupon", 1_155_000),
        ((2025, 10, 6), "Castellan Grid 3.50% 2029", "Coupon", 962_500),
    ];
    for (row, ((year, month, day), payer, kind, amount)) in (1..).zip(payments) {
        sheet.write_datetime_with_format(
            row,
            0,
            &ExcelDateTime::from_ymd(year, month, day)?,
            &date,
        )?;
        sheet.write(row, 1, payer)?;
        sheet.write(row, 2, kind)?;
        sheet.write_with_format(row, 3, exact(amount), &whole)?;
    }
    Ok(())
}

/// A workbook's numbers are floating point; the demonstration's are far below 2^53.
fn exact(number: u64) -> f64 {
    number as f64
}
