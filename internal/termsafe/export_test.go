package termsafe

// Held is how many bytes wait for more.
func (f *Filter) Held() int { return cap(f.p.held) + f.p.runeLen }
