package console

import "math"

// The map is a window of the Natural Earth projection (Patterson, Savric, Jenny 2012): all longitudes, and latitudes
// from mapSouth to mapNorth, where people live.
const (
	mapWidth, mapHeight = 1000.0, 426.0
	mapNorth, mapSouth  = 80.0, -57.0
)

// point is a place on the map, measured from its upper left corner.
type point struct{ X, Y float64 }

// place returns where a latitude and a longitude, in degrees, lie on the map.
func place(latitude, longitude float64) point {
	scale := mapWidth / (2 * math.Pi * 0.8707)
	x, y := natural(latitude, longitude)
	_, top := natural(mapNorth, 0)
	return point{mapWidth/2 + x*scale, (top - y) * scale}
}

// natural is the projection. It takes degrees, north and east positive, and returns units of the globe's radius.
func natural(latitude, longitude float64) (x, y float64) {
	phi, lambda := latitude*math.Pi/180, longitude*math.Pi/180
	p2 := phi * phi
	p4 := p2 * p2
	x = lambda * (0.8707 - 0.131979*p2 + p4*(-0.013791+p4*(0.003971*p2-0.001529*p4)))
	y = phi * (1.007226 + p2*(0.015085+p4*(-0.044475+0.028874*p2-0.005916*p4)))
	return x, y
}
