//! Times as texts name them: years, days, quarters, and how long a period is.
//!
//! `quaestor_core::retrieval::period` reads which times a whole text speaks of; here each
//! mention is kept apart with its place, because a figure belongs to one of them.

pub(super) use super::mention::{Mention, mentions, whole};

/// One time, as far as it is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Period {
    /// The year, or the years where several belong to one name. `2018/2019` is the
    /// fiscal year that ends in 2019.
    pub(super) years: Vec<i32>,
    /// The month, 1 to 12.
    pub(super) month: Option<u32>,
    /// The day of the month.
    pub(super) day: Option<u32>,
    /// The quarter, 1 to 4.
    pub(super) quarter: Option<u32>,
    /// How long it is, in months.
    pub(super) months: Option<u32>,
    /// Whether a fiscal year is named, which may end in the calendar year before.
    pub(super) fiscal: bool,
    /// "The prior year": the one before that which the text is about.
    pub(super) prior: bool,
}

/// How a time fits another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// They are different times.
    Contradicts,
    /// Nothing to compare.
    Silent,
    /// What both name is the same.
    Fits,
}

impl Period {
    /// Whether nothing is named.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How a place's time fits this one.
    pub(super) fn fit(&self, place: &Self) -> Fit {
        let mut fits = false;
        if !self.years.is_empty() && !place.years.is_empty() {
            if !self.years.iter().any(|year| place.years.contains(year)) {
                return Fit::Contradicts;
            }
            fits = true;
        }
        let pairs =
            [(self.month, place.month), (self.quarter, place.quarter), (self.months, place.months)];
        for (asked, held) in pairs {
            if let (Some(asked), Some(held)) = (asked, held) {
                if asked != held {
                    return Fit::Contradicts;
                }
                fits = true;
            }
        }
        if let (Some(asked), Some(held)) = (self.day, place.day)
            && asked != held
        {
            return Fit::Contradicts;
        }
        if fits { Fit::Fits } else { Fit::Silent }
    }

    /// Fills in what is not named from a wider place, such as the caption of a table.
    pub(super) fn or(mut self, wider: &Self) -> Self {
        // A month without its year would take another period's.
        if self.years.is_empty() {
            self.years.clone_from(&wider.years);
        }
        if self.month.is_none() && self.day.is_none() && self.quarter.is_none() {
            self.month = wider.month;
            self.day = wider.day;
            self.quarter = wider.quarter;
        }
        self.months = self.months.or(wider.months);
        self.fiscal |= wider.fiscal;
        self
    }

    /// Where it lies among others; none where it names no year, or several.
    pub(super) fn order(&self) -> Option<(i32, u32, u32)> {
        let [year] = self.years.as_slice() else { return None };
        let month = self.month.or(self.quarter.map(|quarter| quarter * 3)).unwrap_or(12);
        Some((*year, month, self.day.unwrap_or(31)))
    }

    /// Takes over a day or a year that this lacks, from a time that names nothing else.
    pub(super) fn complete(&mut self, other: &Self) {
        let adds_year = self.years.is_empty() && other.month.is_none() && other.quarter.is_none();
        let adds_day = self.month.is_none() && self.quarter.is_none() && other.years.is_empty();
        if !self.prior && !other.prior && self.joins(other) && (adds_year || adds_day) {
            self.join(other.clone());
        }
    }

    /// Whether both may be parts of one time.
    pub(super) fn joins(&self, other: &Self) -> bool {
        !self.prior
            && !other.prior
            && (self.years.is_empty() || other.years.is_empty())
            && (self.month.is_none() || other.month.is_none())
            && (self.quarter.is_none() || other.quarter.is_none())
            && (self.months.is_none() || other.months.is_none())
    }

    /// Takes over what another part names.
    pub(super) fn join(&mut self, other: Self) {
        self.years.extend(other.years);
        self.month = self.month.or(other.month);
        self.day = self.day.or(other.day);
        self.quarter = self.quarter.or(other.quarter);
        self.months = self.months.or(other.months);
        self.fiscal |= other.fiscal;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(Vec<i32>, Option<u32>, Option<u32>)> {
        mentions(text).into_iter().map(|m| (m.period.years, m.period.month, m.period.day)).collect()
    }

    #[test]
    fn each_time_is_read_apart_and_whole() {
        assert_eq!(
            read("from $1,202 in 2018 to $2,019 in the year ended September 30, 2019"),
            [(vec![2018], None, None), (vec![2019], Some(9), Some(30))]
        );
        assert_eq!(read("as of 25 June 2022 and 2025-03-29").len(), 2);
        assert_eq!(read("FY19, fiscal year 2018, 2017/2018")[2].0, [2018]);
        assert_eq!(read("2019 million, 2019.5 and 2019%"), []);
        let quarter = &mentions("the third quarter of fiscal 2024")[0].period;
        assert_eq!((quarter.quarter, quarter.years.as_slice()), (Some(3), &[2024][..]));
    }

    #[test]
    fn another_year_day_or_length_contradicts() {
        let fit = |asked: &str, place: &str| whole(asked).fit(&whole(place));
        assert_eq!(fit("2019", "Year ended May 31, 2019"), Fit::Fits);
        assert_eq!(fit("2019", "2018"), Fit::Contradicts);
        assert_eq!(
            fit("three months ended June 25, 2022", "Nine Months Ended June 25, 2022"),
            Fit::Contradicts
        );
        assert_eq!(fit("FY2018", "2017/2018"), Fit::Fits);
        assert_eq!(fit("FY2018", "Total"), Fit::Silent);
    }
}
