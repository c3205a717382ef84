//! The test rows as questions: at most so many, spread over all of them, and in words how many were left.

use crate::app::shared::last_part;
use crate::base::human;
use crate::data::prepare::Dataset;
use crate::data::shots::{Question, questions};

/// Test rows that are asked as one set.
pub const MOST: usize = 100;

/// Questions, and what to call them: "100 of 430 test rows of fruit.csv".
pub fn test_rows(data: &Dataset) -> (Vec<Question>, String) {
    let test = data.split.test.iter().copied();
    let all: Vec<Question> = questions(|row| data.shot(row), test).collect();
    let num_all = all.len();
    let asked = spread(all);
    let of = if asked.len() < num_all {
        let (some, all) = (human::count(asked.len() as u64), human::count(num_all as u64));
        format!("{some} of {all} ")
    } else {
        String::new()
    };
    (asked, format!("{of}test rows of {}", last_part(&data.source.to_string_lossy())))
}

/// At most [`MOST`], at even distances, so that a file in order of its labels is asked about all of them.
fn spread<T>(all: Vec<T>) -> Vec<T> {
    let (num_all, num) = (all.len(), all.len().min(MOST));
    let is_taken = |i: usize| (i * num) / num_all != ((i + 1) * num) / num_all;
    all.into_iter().enumerate().filter(|(i, _)| is_taken(*i)).map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_are_thinned_evenly_and_few_are_all_taken() {
        assert_eq!(spread((0..MOST).collect::<Vec<_>>()).len(), MOST);
        assert_eq!(spread(Vec::<usize>::new()).len(), 0);
        let taken = spread((0..430).collect::<Vec<usize>>());
        assert_eq!(taken.len(), MOST);
        assert!(taken[0] < 5 && taken[99] > 424, "{taken:?}");
        assert!(taken.windows(2).all(|w| (4..=5).contains(&(w[1] - w[0]))), "{taken:?}");
    }
}
