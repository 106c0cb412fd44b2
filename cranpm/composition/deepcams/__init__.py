"""DeepCAMS: PM2.5 three times finer in time, then in space (Xiao et al. 2022)."""
