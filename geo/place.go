package geo

// place is what is known of a network while databases are joined.
type place struct {
	Location          // as told, without what follows from the country
	registered string // the country of registration, used if the clients' country is unknown
	by         origins
}

// origins say which databases told what about a location, by their position from 1. 0 means none, or the tables of this
// package.
type origins struct{ country, subdivision, point uint8 }

// tells returns the place as told by the database at a position, from 1.
func (p place) tells(position int) place {
	n := uint8(min(position, 255))
	if p.Country != "" || p.registered != "" {
		p.by.country = n
	}
	if p.Subdivision != "" {
		p.by.subdivision = n
	}
	if p.HasPoint {
		p.by.point = n
	}
	return p
}

// join fills what the place leaves open from a later database. The first country counts. Details of another country are
// not mixed in: a point in France is no point of a network in Germany, whichever is right.
func (p place) join(later place) place {
	switch {
	case later.Country == "":
	case p.Country == "":
		p.Country, p.by.country = later.Country, later.by.country
		p.Continent = later.Continent // p's own may belong to another country
	case p.Country != later.Country:
		return p
	}
	if p.registered == "" {
		p.registered = later.registered
		if p.Country == "" {
			p.by.country = later.by.country
		}
	}
	if p.Continent == "" {
		p.Continent = later.Continent
	}
	switch {
	case p.Subdivision == "":
		p.Subdivision, p.Deeper, p.by.subdivision = later.Subdivision, later.Deeper, later.by.subdivision
	case p.Subdivision == later.Subdivision && p.Deeper == "":
		p.Deeper = later.Deeper
	}
	if !p.HasPoint && later.HasPoint {
		p.Latitude, p.Longitude, p.HasPoint, p.by.point = later.Latitude, later.Longitude, true, later.by.point
	}
	return p
}

// finish returns the location, with what follows from its country.
func (p place) finish() Location {
	if p.Country == "" && p.registered != "" {
		p.Country, p.Registered = p.registered, true
	}
	return complete(p.Location)
}
