package geo

import "math"

// earthRadius is the Earth's mean radius in km (IUGG's R1).
const earthRadius = 6371.0088

// Distance returns the great-circle distance between two points given in degrees, in km: 0 to 20,015. It takes the
// Earth for a sphere, which is wrong by at most half a percent, less than databases are.
func Distance(lat1, lon1, lat2, lon2 float64) float64 {
	const degree = math.Pi / 180
	// The haversine stays precise for small distances, where the spherical law of cosines does not.
	north := math.Sin((lat2 - lat1) * degree / 2)
	east := math.Sin((lon2 - lon1) * degree / 2)
	h := north*north + math.Cos(lat1*degree)*math.Cos(lat2*degree)*east*east
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, h)))
}
