//! Where the area codes of the inventory lie, for searches near a number.

/// Latitude and longitude in degrees.
type Place = (f64, f64);

const PLACES: [(&str, &str, Place); 45] = [
    ("San Francisco", "CA", (37.77, -122.42)),
    ("Oakland", "CA", (37.80, -122.27)),
    ("San Mateo", "CA", (37.56, -122.33)),
    ("San Jose", "CA", (37.34, -121.89)),
    ("Los Angeles", "CA", (34.05, -118.24)),
    ("Beverly Hills", "CA", (34.07, -118.40)),
    ("San Diego", "CA", (32.72, -117.16)),
    ("New York", "NY", (40.71, -74.01)),
    ("Brooklyn", "NY", (40.68, -73.94)),
    ("Washington", "DC", (38.91, -77.04)),
    ("Miami", "FL", (25.76, -80.19)),
    ("Chicago", "IL", (41.88, -87.63)),
    ("Atlanta", "GA", (33.75, -84.39)),
    ("Portland", "OR", (45.52, -122.68)),
    ("Austin", "TX", (30.27, -97.74)),
    ("Dallas", "TX", (32.78, -96.80)),
    ("Phoenix", "AZ", (33.45, -112.07)),
    ("Boston", "MA", (42.36, -71.06)),
    ("Las Vegas", "NV", (36.17, -115.14)),
    ("Denver", "CO", (39.74, -104.99)),
    ("Seattle", "WA", (47.61, -122.33)),
    ("San Antonio", "TX", (29.42, -98.49)),
    ("Philadelphia", "PA", (39.95, -75.17)),
    ("Houston", "TX", (29.76, -95.37)),
    ("Detroit", "MI", (42.33, -83.05)),
    ("St. Louis", "MO", (38.63, -90.20)),
    ("Pittsburgh", "PA", (40.44, -80.00)),
    ("Albuquerque", "NM", (35.08, -106.65)),
    ("Arlington", "VA", (38.88, -77.10)),
    ("Minneapolis", "MN", (44.98, -93.27)),
    ("Columbus", "OH", (39.96, -83.00)),
    ("Nashville", "TN", (36.16, -86.78)),
    ("Charlotte", "NC", (35.23, -80.84)),
    ("Salt Lake City", "UT", (40.76, -111.89)),
    ("Tampa", "FL", (27.95, -82.46)),
    ("Kansas City", "MO", (39.10, -94.58)),
    ("Memphis", "TN", (35.15, -90.05)),
    ("Jacksonville", "FL", (30.33, -81.66)),
    ("Raleigh", "NC", (35.78, -78.64)),
    ("Fort Lauderdale", "FL", (26.12, -80.14)),
    ("Anchorage", "AK", (61.22, -149.90)),
    ("Toronto", "ON", (43.65, -79.38)),
    ("Montreal", "QC", (45.50, -73.57)),
    ("Vancouver", "BC", (49.28, -123.12)),
    ("Whitehorse", "YT", (60.72, -135.06)),
];

pub(super) fn of(locality: &str, region: &str) -> Option<Place> {
    PLACES
        .iter()
        .find(|(name, state, _)| *name == locality && *state == region)
        .map(|(_, _, place)| *place)
}

/// Along the surface of the earth.
pub(super) fn miles_between(from: Place, to: Place) -> f64 {
    const RADIUS: f64 = 3_958.8;
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let cosines = from.0.to_radians().cos() * to.0.to_radians().cos();
    let haversine = half(from.0, to.0) + cosines * half(from.1, to.1);
    2.0 * RADIUS * haversine.sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_map() {
        let place = |locality, region| of(locality, region).expect("a known place");
        let miles = miles_between(place("San Francisco", "CA"), place("San Jose", "CA"));
        assert!((38.0..46.0).contains(&miles), "{miles}");
        let miles = miles_between(place("New York", "NY"), place("Los Angeles", "CA"));
        assert!((2_400.0..2_500.0).contains(&miles), "{miles}");
    }
}
