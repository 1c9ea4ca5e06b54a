package geo

// place is what is known of a network while databases are joined.
type place struct {
	Location          // as told: nothing has been completed
	registered string // the country that it is registered in: for want of the one where its clients are
	by         origins
}

// origins are which databases told of a location what, by their position from 1; 0: none, or the tables in this
// package.
type origins struct{ country, subdivision, point uint8 }

// tells returns the place as the database at a position from 1 tells it.
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

// join fills what the place leaves open from what a later database says. The first country counts. What belongs to
// another country is not mixed in: a point in France is no point of a network in Germany, whoever is right.
func (p place) join(later place) place {
	switch {
	case later.Country == "":
	case p.Country == "":
		p.Country, p.by.country = later.Country, later.by.country
		p.Continent = later.Continent // its own may be another's: that of the country is known
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

// finish returns the location, with what is known of its country.
func (p place) finish() Location {
	if p.Country == "" && p.registered != "" {
		p.Country, p.Registered = p.registered, true
	}
	return complete(p.Location)
}
