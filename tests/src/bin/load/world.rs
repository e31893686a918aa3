//! What the servers and the load agree on.

/// The carrier's account.
pub(crate) const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";

/// What its webhooks are signed with.
pub(crate) const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Where the carrier believes the service to be: signatures cover it, whatever the address of a run.
pub(crate) const PUBLIC_URL: &str = "https://voice.example.com";

/// The path of the voice webhook.
pub(crate) const VOICE_PATH: &str = "/webhooks/twilio/voice";

/// The numbers that each tenant holds.
pub(crate) const NUMBERS_PER_TENANT: u32 = 100;

/// The number of this index.
pub(crate) fn number(index: u32) -> String {
    format!("+1{:010}", 2_010_000_000 + u64::from(index))
}

/// A sequence that looks random and repeats with its seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (self.roll() >> 32) * u64::from(bound);
        u32::try_from(scaled >> 32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use voice_saas_core::phone::E164;

    use super::*;

    #[test]
    fn every_index_has_a_number_of_its_own_that_can_be_dialled() {
        let numbers: HashSet<E164> = (0..1_000).map(|index| number(index).parse().unwrap()).collect();
        assert_eq!(numbers.len(), 1_000);
        assert_eq!(number(99_999), "+12010099999");
    }

    #[test]
    fn dice_stay_below_their_bound_and_reach_everything_under_it() {
        let mut dice = Dice::new(7);
        let rolled: HashSet<u32> = (0..1_000).map(|_| dice.below(10)).collect();
        assert_eq!(rolled, (0..10).collect());
    }
}
