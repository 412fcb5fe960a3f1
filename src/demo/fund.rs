//! The numbers of a fund that does not exist. All documents are made from them, so that
//! they agree with one another.

/// The fund.
pub(super) const FUND: &str = "Halden Meridian Balanced Fund";
/// Its manager.
pub(super) const MANAGER: &str = "Halden Asset Management";

/// A share class at two dates.
pub(super) struct ShareClass {
    pub(super) name: &'static str,
    /// Net assets in EUR thousand, shares, and net asset value per share in EUR cents.
    pub(super) at_2025: (u64, u64, u64),
    pub(super) at_2024: (u64, u64, u64),
}

/// The classes; their net assets add up to those of the fund.
pub(super) const CLASSES: [ShareClass; 2] = [
    ShareClass {
        name: "Class A",
        at_2025: (78_400, 700_876, 11_186),
        at_2024: (71_200, 683_102, 10_423),
    },
    ShareClass {
        name: "Class I",
        at_2025: (104_000, 816_006, 12_745),
        at_2024: (93_600, 792_147, 11_816),
    },
];

/// What a holding is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AssetClass {
    Equity,
    Bond,
    Cash,
}

impl AssetClass {
    pub(super) const ALL: [Self; 3] = [Self::Equity, Self::Bond, Self::Cash];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equity => "Equities",
            Self::Bond => "Bonds",
            Self::Cash => "Cash and deposits",
        }
    }

    /// The market value a year before, in EUR thousand.
    pub(super) fn at_2024(self) -> u64 {
        match self {
            Self::Equity => 66_744,
            Self::Bond => 83_224,
            Self::Cash => 14_832,
        }
    }
}

/// A position at the end of 2025.
pub(super) struct Holding {
    pub(super) name: &'static str,
    pub(super) class: AssetClass,
    pub(super) country: &'static str,
    /// Shares, or the nominal amount in EUR.
    pub(super) quantity: u64,
    /// The price in hundredths: EUR cents a share, or hundredths of a percent of nominal.
    pub(super) price_hundredths: u64,
    /// Year, month and day of the first purchase.
    pub(super) bought: (u16, u8, u8),
}

const fn holding(
    name: &'static str,
    class: AssetClass,
    country: &'static str,
    amount: (u64, u64),
    bought: (u16, u8, u8),
) -> Holding {
    Holding { name, class, country, quantity: amount.0, price_hundredths: amount.1, bought }
}

/// Everything the fund holds.
pub(super) const HOLDINGS: [Holding; 10] = [
    holding(
        "Nordhafen Terminals AG",
        AssetClass::Equity,
        "Germany",
        (240_000, 6_175),
        (2021, 3, 15),
    ),
    holding("Castellan Grid SA", AssetClass::Equity, "Spain", (410_000, 3_320), (2019, 9, 2)),
    holding(
        "Brightwater Utilities plc",
        AssetClass::Equity,
        "Ireland",
        (525_000, 2_440),
        (2020, 6, 30),
    ),
    holding(
        "Alpenrail Holding AG",
        AssetClass::Equity,
        "Austria",
        (96_000, 12_850),
        (2018, 11, 21),
    ),
    holding("Verdant Foods NV", AssetClass::Equity, "Netherlands", (300_000, 3_990), (2022, 1, 10)),
    holding(
        "Kestrel Instruments Oyj",
        AssetClass::Equity,
        "Finland",
        (150_000, 7_260),
        (2023, 5, 4),
    ),
    holding(
        "Republic of Lorania 2.75% 2031",
        AssetClass::Bond,
        "Lorania",
        (42_000_000, 9_840),
        (2021, 8, 19),
    ),
    holding(
        "Castellan Grid 3.50% 2029",
        AssetClass::Bond,
        "Spain",
        (27_500_000, 10_080),
        (2022, 10, 6),
    ),
    holding(
        "Midland Transport 3.10% 2033",
        AssetClass::Bond,
        "Ireland",
        (22_000_000, 9_730),
        (2024, 2, 27),
    ),
    holding(
        "Cash and deposits",
        AssetClass::Cash,
        "Luxembourg",
        (15_508_000, 10_000),
        (2025, 12, 31),
    ),
];

impl Holding {
    /// The market value in EUR.
    pub(super) fn value(&self) -> u64 {
        match self.class {
            AssetClass::Equity => self.quantity * self.price_hundredths / 100,
            AssetClass::Bond | AssetClass::Cash => self.quantity * self.price_hundredths / 10_000,
        }
    }
}

/// The market value of a class of assets in EUR.
pub(super) fn value_of(class: AssetClass) -> u64 {
    HOLDINGS.iter().filter(|holding| holding.class == class).map(Holding::value).sum()
}

/// The fund's net assets in EUR.
pub(super) fn net_assets() -> u64 {
    HOLDINGS.iter().map(Holding::value).sum()
}

/// The fund's net assets a year before, in EUR thousand.
pub(super) fn net_assets_2024() -> u64 {
    AssetClass::ALL.into_iter().map(AssetClass::at_2024).sum()
}

/// `12,336,000`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `127.45` from hundredths.
pub(super) fn decimal(hundredths: u64) -> String {
    format!("{}.{:02}", grouped(hundredths / 100), hundredths % 100)
}

/// `41.9%`: a share of a whole, rounded to a tenth.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 2_000 + whole) / (whole * 2);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_numbers_agree() {
        assert_eq!(net_assets(), 182_400_000);
        let at_2025: u64 = CLASSES.iter().map(|class| class.at_2025.0).sum();
        let at_2024: u64 = CLASSES.iter().map(|class| class.at_2024.0).sum();
        assert_eq!((at_2025 * 1_000, at_2024), (net_assets(), net_assets_2024()));
        for class in &CLASSES {
            for (assets, shares, cents) in [class.at_2025, class.at_2024] {
                let euros = shares * cents / 100;
                assert!(euros.abs_diff(assets * 1_000) < 1_000, "{}: {euros}", class.name);
            }
        }
    }

    #[test]
    fn numbers_are_written_as_reports_write_them() {
        assert_eq!(grouped(12_336_000), "12,336,000");
        assert_eq!(grouped(15), "15");
        assert_eq!(decimal(12_745), "127.45");
        assert_eq!(percent(76_438, 182_400), "41.9%");
    }
}
