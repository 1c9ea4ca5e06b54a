package answer

import "leeward/zones/rr"

// Queries are counted by QTYPE in rows of the tally. There is a row for each type that is commonly asked for, one for
// all other types, and one for requests whose question cannot be read. So asking for types that do not exist takes no
// memory.

// rowTypes are the types that have a row, by row; 0 stands for no question.
var rowTypes = [...]uint16{
	0, 1, 2, 5, 6, 12, 13, 15, 16, 28, 29, 33, 35, 39, 43, 44, 45, 46, 47, 48, 50, 51, 52, 53, 59, 60, 61, 64, 65, 99,
	251, 252, 255, 256, 257,
}

const (
	otherTypes = len(rowTypes)
	mostTypes  = otherTypes + 1
)

// typeRows are the rows of the types up to CAA.
var typeRows = func() (rows [258]uint8) {
	for i := range rows {
		rows[i] = uint8(otherTypes)
	}
	for row, t := range rowTypes {
		rows[t] = uint8(row)
	}
	return rows
}()

// typeRow returns the row that counts queries of a type.
func typeRow(qtype uint16) int {
	if int(qtype) < len(typeRows) {
		return int(typeRows[qtype])
	}
	return otherTypes
}

// typeName returns the name of a row.
func typeName(row int) string {
	switch row {
	case 0:
		return "none"
	case otherTypes:
		return "other"
	}
	return rr.Type(rowTypes[row]).String()
}
