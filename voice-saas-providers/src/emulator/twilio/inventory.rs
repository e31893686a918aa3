//! The numbers that can be bought: generated, the same on every start, from ranges reserved for fiction where
//! the country has one.

use serde_json::{Value, json};

use super::pattern::Pattern;
use super::place;
use super::wire::{ApiError, Form};

/// One type of number in one country.
struct Range {
    country: &'static str,
    kind: &'static str,
    /// The `type` of an owned number.
    owned_type: &'static str,
    address_requirements: &'static str,
    /// Whether a purchase needs an approved regulatory bundle.
    bundle: bool,
    areas: &'static [Area],
}

/// A block of consecutive numbers.
struct Area {
    /// The digits before the counter, with the plus.
    prefix: &'static str,
    first: u32,
    count: u32,
    digits: usize,
    locality: Option<&'static str>,
    region: Option<&'static str>,
}

/// North American numbers 555-0100 and up of an area code.
const fn nanp(prefix: &'static str, locality: &'static str, region: &'static str) -> Area {
    Area {
        prefix,
        first: 100,
        count: 900,
        digits: 4,
        locality: Some(locality),
        region: Some(region),
    }
}

/// An area code that exists but has nothing left.
const fn sold_out(prefix: &'static str, locality: &'static str, region: &'static str) -> Area {
    Area {
        prefix,
        first: 100,
        count: 0,
        digits: 4,
        locality: Some(locality),
        region: Some(region),
    }
}

const fn block(prefix: &'static str, digits: usize, first: u32, count: u32) -> Area {
    Area {
        prefix,
        first,
        count,
        digits,
        locality: None,
        region: None,
    }
}

const US_LOCAL: &[Area] = &[
    nanp("+1415555", "San Francisco", "CA"),
    nanp("+1628555", "San Francisco", "CA"),
    nanp("+1510555", "Oakland", "CA"),
    nanp("+1650555", "San Mateo", "CA"),
    nanp("+1408555", "San Jose", "CA"),
    nanp("+1213555", "Los Angeles", "CA"),
    nanp("+1310555", "Beverly Hills", "CA"),
    nanp("+1619555", "San Diego", "CA"),
    nanp("+1646555", "New York", "NY"),
    nanp("+1718555", "Brooklyn", "NY"),
    nanp("+1202555", "Washington", "DC"),
    nanp("+1305555", "Miami", "FL"),
    nanp("+1312555", "Chicago", "IL"),
    nanp("+1404555", "Atlanta", "GA"),
    nanp("+1503555", "Portland", "OR"),
    nanp("+1512555", "Austin", "TX"),
    nanp("+1214555", "Dallas", "TX"),
    nanp("+1602555", "Phoenix", "AZ"),
    nanp("+1617555", "Boston", "MA"),
    nanp("+1702555", "Las Vegas", "NV"),
    nanp("+1720555", "Denver", "CO"),
    nanp("+1206555", "Seattle", "WA"),
    nanp("+1210555", "San Antonio", "TX"),
    nanp("+1212555", "New York", "NY"),
    nanp("+1215555", "Philadelphia", "PA"),
    nanp("+1281555", "Houston", "TX"),
    nanp("+1303555", "Denver", "CO"),
    nanp("+1313555", "Detroit", "MI"),
    nanp("+1314555", "St. Louis", "MO"),
    nanp("+1347555", "New York", "NY"),
    nanp("+1412555", "Pittsburgh", "PA"),
    nanp("+1469555", "Dallas", "TX"),
    nanp("+1505555", "Albuquerque", "NM"),
    nanp("+1571555", "Arlington", "VA"),
    nanp("+1612555", "Minneapolis", "MN"),
    nanp("+1614555", "Columbus", "OH"),
    nanp("+1615555", "Nashville", "TN"),
    nanp("+1704555", "Charlotte", "NC"),
    nanp("+1713555", "Houston", "TX"),
    nanp("+1737555", "Austin", "TX"),
    nanp("+1773555", "Chicago", "IL"),
    nanp("+1801555", "Salt Lake City", "UT"),
    nanp("+1813555", "Tampa", "FL"),
    nanp("+1816555", "Kansas City", "MO"),
    nanp("+1858555", "San Diego", "CA"),
    nanp("+1901555", "Memphis", "TN"),
    nanp("+1904555", "Jacksonville", "FL"),
    nanp("+1917555", "New York", "NY"),
    nanp("+1919555", "Raleigh", "NC"),
    nanp("+1929555", "New York", "NY"),
    nanp("+1954555", "Fort Lauderdale", "FL"),
    nanp("+1972555", "Dallas", "TX"),
    sold_out("+1907555", "Anchorage", "AK"),
];
const CA_LOCAL: &[Area] = &[
    nanp("+1416555", "Toronto", "ON"),
    nanp("+1514555", "Montreal", "QC"),
    nanp("+1604555", "Vancouver", "BC"),
    sold_out("+1867555", "Whitehorse", "YT"),
];
const TOLL_FREE: &[Area] = &[
    block("+1800555", 4, 100, 100),
    block("+1833555", 4, 100, 900),
    block("+1844555", 4, 100, 900),
    block("+1855555", 4, 100, 900),
    block("+1866555", 4, 100, 900),
    block("+1877555", 4, 100, 900),
    block("+1888555", 4, 100, 900),
];

const RANGES: &[Range] = &[
    range("US", "Local", "local", "none", false, US_LOCAL),
    range("US", "TollFree", "tollfree", "none", false, TOLL_FREE),
    range("CA", "Local", "local", "none", false, CA_LOCAL),
    range(
        "CA",
        "TollFree",
        "tollfree",
        "none",
        false,
        &[block("+1855556", 4, 100, 900)],
    ),
    range(
        "GB",
        "Local",
        "local",
        "any",
        false,
        &[block("+44207946", 4, 0, 1_000)],
    ),
    range(
        "GB",
        "Mobile",
        "mobile",
        "none",
        false,
        &[block("+447700900", 3, 0, 1_000)],
    ),
    range(
        "GB",
        "TollFree",
        "tollfree",
        "any",
        false,
        &[block("+44808157", 4, 0, 1_000)],
    ),
    range(
        "DE",
        "Local",
        "local",
        "local",
        true,
        &[block("+493023125", 3, 0, 1_000)],
    ),
    range(
        "DE",
        "Mobile",
        "mobile",
        "any",
        true,
        &[block("+4915239955", 3, 0, 1_000)],
    ),
    range(
        "CZ",
        "Local",
        "local",
        "local",
        true,
        &[block("+420228880", 3, 0, 1_000)],
    ),
    range(
        "CZ",
        "Mobile",
        "mobile",
        "any",
        false,
        &[block("+420736350", 3, 0, 1_000)],
    ),
    range(
        "AU",
        "Local",
        "local",
        "any",
        true,
        &[block("+612555010", 2, 0, 100)],
    ),
    range(
        "AU",
        "Mobile",
        "mobile",
        "any",
        true,
        &[block("+61491570", 3, 0, 1_000)],
    ),
];

const fn range(
    country: &'static str,
    kind: &'static str,
    owned_type: &'static str,
    address_requirements: &'static str,
    bundle: bool,
    areas: &'static [Area],
) -> Range {
    Range {
        country,
        kind,
        owned_type,
        address_requirements,
        bundle,
        areas,
    }
}

/// The kinds of number that the real API knows; a country may lack any of them.
const KINDS: [&str; 7] = [
    "Local",
    "TollFree",
    "Mobile",
    "National",
    "Voip",
    "SharedCost",
    "MachineToMachine",
];

/// A number that exists in the inventory.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) phone_number: String,
    pub(super) owned_type: &'static str,
    pub(super) address_requirements: &'static str,
    pub(super) bundle: bool,
    pub(super) capabilities: Capabilities,
    country: &'static str,
    locality: Option<&'static str>,
    region: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Capabilities {
    voice: bool,
    sms: bool,
    mms: bool,
}

impl Capabilities {
    pub(super) fn json(self) -> Value {
        json!({"voice": self.voice, "sms": self.sms, "mms": self.mms, "fax": false})
    }
}

impl Range {
    fn offers(&'static self) -> impl Iterator<Item = Offer> {
        // One number of each area at a time, so that a short page already shows several areas.
        let longest = self.areas.iter().map(|area| area.count).max().unwrap_or(0);
        (0..longest)
            .flat_map(|at| {
                self.areas
                    .iter()
                    .filter(move |area| at < area.count)
                    .map(move |area| (area, at))
            })
            .map(|(area, at)| self.offer(area, at))
    }

    fn offer(&'static self, area: &'static Area, at: u32) -> Offer {
        let mobile = self.kind == "Mobile";
        let american = matches!(self.country, "US" | "CA");
        // Every seventh number lacks messages and every eleventh mobile lacks voice, so that filters matter.
        let sms = (american || mobile) && at % 7 != 6;
        let capabilities = Capabilities {
            voice: !(mobile && at % 11 == 10),
            sms,
            mms: sms && american,
        };
        Offer {
            phone_number: format!("{}{:0width$}", area.prefix, area.first + at, width = area.digits),
            owned_type: self.owned_type,
            address_requirements: self.address_requirements,
            bundle: self.bundle,
            capabilities,
            country: self.country,
            locality: area.locality,
            region: area.region,
        }
    }
}

impl Offer {
    pub(super) fn friendly_name(&self) -> String {
        friendly_name(&self.phone_number)
    }

    fn place(&self) -> Option<(f64, f64)> {
        place::of(self.locality?, self.region?)
    }

    fn json(&self) -> Value {
        let place = self.place();
        json!({
            "friendly_name": self.friendly_name(),
            "phone_number": self.phone_number,
            "lata": Value::Null,
            "locality": self.locality,
            "rate_center": self.locality.map(str::to_uppercase),
            "latitude": place.map(|place| place.0),
            "longitude": place.map(|place| place.1),
            "region": self.region,
            "postal_code": Value::Null,
            "iso_country": self.country,
            "address_requirements": self.address_requirements,
            "beta": false,
            "capabilities": self.capabilities.json(),
        })
    }
}

/// How Twilio writes a number for people: `(415) 555-0100` in North America, else the number itself.
pub(super) fn friendly_name(number: &str) -> String {
    match number.strip_prefix("+1") {
        Some(national) if national.len() == 10 => {
            format!("({}) {}-{}", &national[..3], &national[3..6], &national[6..])
        }
        _ => number.to_owned(),
    }
}

/// A number that came from another carrier.
pub(super) fn ported(phone_number: &str) -> Offer {
    Offer {
        phone_number: phone_number.to_owned(),
        owned_type: "local",
        address_requirements: "none",
        bundle: false,
        capabilities: Capabilities {
            voice: true,
            sms: true,
            mms: true,
        },
        country: "US",
        locality: None,
        region: None,
    }
}

/// Whether a purchase of this kind of number in this country needs an approved bundle; `None` when there is none.
pub(super) fn needs_bundle(country: &str, kind: &str) -> Option<bool> {
    let range = RANGES
        .iter()
        .find(|range| range.country == country && range.kind == kind)?;
    Some(range.bundle)
}

/// Finds a number of the inventory, bought or not.
pub(super) fn find(phone_number: &str) -> Option<Offer> {
    RANGES.iter().find_map(|range| {
        range.areas.iter().find_map(|area| {
            let digits = phone_number
                .strip_prefix(area.prefix)
                .filter(|digits| digits.len() == area.digits)?;
            let at = digits.parse::<u32>().ok()?.checked_sub(area.first)?;
            (at < area.count).then(|| range.offer(area, at))
        })
    })
}

/// The first free number of a North American area code.
pub(super) fn in_area_code(area_code: &str, kind: &str, taken: impl Fn(&str) -> bool) -> Option<Offer> {
    let prefix = format!("+1{area_code}");
    RANGES
        .iter()
        .filter(|range| range.kind == kind)
        .flat_map(Range::offers)
        .find(|offer| offer.phone_number.starts_with(&prefix) && !taken(&offer.phone_number))
}

/// The countries that sell numbers, and their names.
pub(super) const COUNTRIES: [(&str, &str); 6] = [
    ("US", "United States"),
    ("CA", "Canada"),
    ("GB", "United Kingdom"),
    ("DE", "Germany"),
    ("CZ", "Czech Republic"),
    ("AU", "Australia"),
];

/// The countries that sell numbers, with the kinds each has.
pub(super) fn countries(account_path: &str, only: Option<&str>) -> Vec<Value> {
    COUNTRIES
        .iter()
        .filter(|(code, _)| only.is_none_or(|only| only == *code))
        .map(|(code, name)| {
            let base = format!("{account_path}/AvailablePhoneNumbers/{code}");
            let kinds: serde_json::Map<_, _> = RANGES
                .iter()
                .filter(|range| range.country == *code)
                .map(|range| {
                    let key = if range.kind == "TollFree" {
                        "toll_free"
                    } else {
                        range.owned_type
                    };
                    (key.to_owned(), json!(format!("{base}/{}.json", range.kind)))
                })
                .collect();
            json!({
                "country_code": code, "country": name, "uri": format!("{base}.json"), "beta": false,
                "subresource_uris": kinds,
            })
        })
        .collect()
}

/// The place of the area code of a North American number, and how far around it is looked.
fn near(number: &str, query: &Form) -> Result<((f64, f64), f64), ApiError> {
    let invalid = |what: &str| ApiError::refused(20_001, format!("Invalid {what}"));
    let miles: u16 = match query.given("Distance") {
        Some(miles) => miles.parse().map_err(|_| invalid("Distance"))?,
        None => 25,
    };
    if !(1..=500).contains(&miles) {
        return Err(invalid("Distance"));
    }
    let code = number.get(..5).filter(|code| code.starts_with("+1"));
    let place = code.and_then(|code| {
        let areas = US_LOCAL.iter().chain(CA_LOCAL);
        let area = areas.into_iter().find(|area| area.prefix.starts_with(code))?;
        place::of(area.locality?, area.region?)
    });
    Ok((place.ok_or_else(|| invalid("NearNumber"))?, miles.into()))
}

/// Answers a search: free numbers of one kind in one country that pass every filter.
pub(super) fn search(
    path: &str,
    country: &str,
    kind: &str,
    query: &Form,
    taken: impl Fn(&str) -> bool,
) -> Result<Value, ApiError> {
    const MOST: usize = 1_000;
    let range = RANGES
        .iter()
        .find(|range| range.country == country && range.kind == kind);
    let range = range
        .filter(|_| KINDS.contains(&kind))
        .ok_or_else(|| ApiError::not_found(path))?;
    let area_code = query.given("AreaCode");
    if area_code.is_some_and(|code| code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(ApiError::refused(20001, "Invalid AreaCode"));
    }
    let pattern = query.given("Contains").map(Pattern::parse).transpose()?;
    let near = query
        .given("NearNumber")
        .map(|number| near(number, query))
        .transpose()?;
    let wanted = |flag: &str, has: bool| query.flag(flag).is_none_or(|wanted| wanted == has);
    let size = query
        .given("PageSize")
        .and_then(|size| size.parse().ok())
        .unwrap_or(50)
        .clamp(1, MOST);
    let unneeded = |flag: &str, requirement: &str, offer: &Offer| {
        query.flag(flag) != Some(true) || offer.address_requirements != requirement
    };
    let found: Vec<Value> = range
        .offers()
        .filter(|offer| area_code.is_none_or(|code| offer.phone_number.starts_with(&format!("+1{code}"))))
        .filter(|offer| {
            query
                .given("InRegion")
                .is_none_or(|region| offer.region == Some(region))
        })
        .filter(|offer| {
            query.given("InLocality").is_none_or(|wanted| {
                offer
                    .locality
                    .is_some_and(|locality| locality.eq_ignore_ascii_case(wanted))
            })
        })
        .filter(|offer| {
            near.is_none_or(|(from, miles)| {
                offer
                    .place()
                    .is_some_and(|to| place::miles_between(from, to) <= miles)
            })
        })
        .filter(|offer| wanted("VoiceEnabled", offer.capabilities.voice))
        .filter(|offer| wanted("SmsEnabled", offer.capabilities.sms))
        .filter(|offer| wanted("MmsEnabled", offer.capabilities.mms))
        .filter(|_| wanted("FaxEnabled", false))
        .filter(|offer| {
            query.flag("ExcludeAllAddressRequired") != Some(true) || offer.address_requirements == "none"
        })
        .filter(|offer| unneeded("ExcludeLocalAddressRequired", "local", offer))
        .filter(|offer| unneeded("ExcludeForeignAddressRequired", "foreign", offer))
        .filter(|offer| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.matches(&offer.phone_number))
        })
        .filter(|offer| !taken(&offer.phone_number))
        .take(size)
        .map(|offer| offer.json())
        .collect();
    Ok(json!({"available_phone_numbers": found, "uri": path}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offer_is_found_again_by_its_number() {
        for range in RANGES {
            for offer in range.offers().take(30) {
                let found = find(&offer.phone_number).expect("an offered number exists");
                assert_eq!(found.phone_number, offer.phone_number);
                assert_eq!(found.owned_type, offer.owned_type);
            }
        }
        assert!(
            find("+19075550100").is_none(),
            "a sold-out area code has no numbers"
        );
    }

    #[test]
    fn a_kind_that_a_country_lacks_is_not_found() {
        assert!(search("/x", "US", "Mobile", &Form::default(), |_| false).is_err());
        assert!(search("/x", "FR", "Local", &Form::default(), |_| false).is_err());
    }
}
